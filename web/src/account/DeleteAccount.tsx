// The end of the account: what goes is said first, and the address or a word is to be typed.

import type { Account } from "@spool/client";
import { useDeleteAccount } from "@spool/client/react";
import { useState } from "react";
import { Button } from "../ui/Button";
import { Field } from "./Field";
import { Refusal } from "./Frame";
import { useForm } from "./useForm";

export function DeleteAccount({ account, email }: { account: Account; email: string | undefined }) {
  const [open, setOpen] = useState(false);
  const remove = useDeleteAccount();
  const form = useForm(async (value) => {
    account.isLeaving = true;
    try {
      await remove(value("confirm"));
    } catch (error) {
      account.isLeaving = false;
      throw error;
    }
    account.forget();
    window.location.assign("/");
  });
  if (!open) {
    return (
      <Button onClick={() => setOpen(true)}>
        Delete the account
      </Button>
    );
  }
  const word = email ?? "delete";
  return (
    <form onSubmit={form.onSubmit} className="space-y-4">
      <p className="text-sm text-soft">Every conversation, file, link and key of this account is deleted for good, at once and on every device. Nobody can bring it back.</p>
      <Field label={`Type ${word} to confirm`} name="confirm" autoComplete="off" required autoFocus title={`Type ${word}`} pattern={word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")} />
      <Refusal>{form.refusal}</Refusal>
      <div className="flex gap-2">
        <Button type="submit" look="danger" disabled={form.working}>
          {form.working ? "Deleting …" : "Delete everything"}
        </Button>
        <Button onClick={() => setOpen(false)}>Cancel</Button>
      </div>
    </form>
  );
}
