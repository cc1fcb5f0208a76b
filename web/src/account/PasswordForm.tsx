// Another password for the account. The other devices are signed out with it.

import type { Account } from "@spool/client";
import { useState } from "react";
import { Button } from "../ui/Button";
import { Field, PASSWORD_HINT, PASSWORD_LENGTH } from "./Field";
import { Refusal } from "./Frame";
import { useForm } from "./useForm";

export function PasswordForm({ account, email }: { account: Account; email: string }) {
  const [open, setOpen] = useState(false);
  const [changed, setChanged] = useState(false);
  const form = useForm(async (value) => {
    await account.changePassword(value("old"), value("new"));
    setChanged(true);
    setOpen(false);
  });
  if (!open) {
    return (
      <div className="flex items-center gap-3">
        <Button
          onClick={() => {
            setOpen(true);
            setChanged(false);
          }}
        >
          Change the password
        </Button>
        <p role="status" className="text-sm text-soft">
          {changed && "Changed. Other devices were signed out."}
        </p>
      </div>
    );
  }
  return (
    <form onSubmit={form.onSubmit} className="space-y-4">
      <input type="email" name="email" autoComplete="username" value={email} readOnly hidden />
      <Field label="Old password" name="old" type="password" autoComplete="current-password" required autoFocus />
      <Field label="New password" name="new" type="password" autoComplete="new-password" required hint={PASSWORD_HINT} {...PASSWORD_LENGTH} />
      <Refusal>{form.refusal}</Refusal>
      <div className="flex gap-2">
        <Button type="submit" look="strong" disabled={form.working}>
          Change the password
        </Button>
        <Button onClick={() => setOpen(false)}>Cancel</Button>
      </div>
    </form>
  );
}
