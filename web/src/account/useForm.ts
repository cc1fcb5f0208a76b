// A form that is sent once at a time, and what the server said against it.

import { readFailure } from "@spool/client";
import { useState, type FormEvent } from "react";

export interface Form {
  working: boolean;
  refusal: string | null;
  onSubmit: (event: FormEvent<HTMLFormElement>) => void;
}

/** `send` gets the values of the form by their names. */
export function useForm(send: (value: (name: string) => string, form: HTMLFormElement) => Promise<void>): Form {
  const [working, setWorking] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (working) return;
    const form = event.currentTarget;
    const values = new FormData(form);
    setWorking(true);
    setRefusal(null);
    send((name) => String(values.get(name) ?? ""), form)
      .catch((error: unknown) => setRefusal(readFailure(error).message))
      .finally(() => setWorking(false));
  };
  return { working, refusal, onSubmit };
}
