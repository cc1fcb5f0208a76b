// Names a person who may read the thread, by address or by user id.

import { useShareActions } from "@spool/client/react";
import { useState, type FormEvent } from "react";
import { Button } from "../ui/Button";

interface PersonFormProps {
  threadId: string;
  attempt: (step: () => Promise<void>) => Promise<void>;
}

export function PersonForm({ threadId, attempt }: PersonFormProps) {
  const { grant } = useShareActions();
  const [name, setName] = useState("");
  const [working, setWorking] = useState(false);
  const who = name.trim();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setWorking(true);
    await attempt(async () => {
      await grant({ threadId, ...(who.startsWith("usr_") ? { userId: who } : { email: who }) });
      setName("");
    });
    setWorking(false);
  };
  return (
    <section aria-label="People">
      <h3 className="text-sm font-semibold">Someone with an account here</h3>
      <p className="mt-1 text-xs text-pretty text-faint">
        They find it in their list, read it live and cannot write. An address counts for whoever signs in with it.
      </p>
      <form onSubmit={(event) => void submit(event)} className="mt-2.5 flex gap-2">
        <input
          aria-label="E-mail address or user id"
          placeholder="name@example.com"
          autoComplete="off"
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
          className="h-9 min-w-0 flex-1 rounded-lg border border-line bg-page px-3 text-sm placeholder:text-faint"
        />
        <Button type="submit" disabled={working || who === ""}>
          Add
        </Button>
      </form>
    </section>
  );
}
