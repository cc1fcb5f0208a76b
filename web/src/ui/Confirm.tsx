// Asks before something that cannot be undone. A native modal dialog: it holds the focus and hears Escape.

import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import { Button } from "./Button";

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
}

export function Confirm({ title, children, action, onConfirm, onClose }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [state, setState] = useState<"asking" | "working" | "failed">("asking");
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
  }, []);
  const confirm = async () => {
    setState("working");
    try {
      await onConfirm();
      onClose();
    } catch {
      setState("failed");
    }
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
      className="w-[min(25rem,calc(100vw-2.5rem))] rounded-2xl border border-line bg-raised p-0 text-ink shadow-float backdrop:bg-scrim open:motion-settle"
    >
      <div className="p-6">
        <h2 id={id} className="text-lg leading-snug font-semibold tracking-tight">
          {title}
        </h2>
        <div className="mt-2 text-sm text-soft">{children}</div>
        {state === "failed" && (
          <p role="alert" className="mt-3 text-sm text-danger">
            That did not work. Check the connection and try again.
          </p>
        )}
        <div className="mt-6 flex justify-end gap-2">
          <Button autoFocus onClick={onClose}>
            Cancel
          </Button>
          <Button look="danger" disabled={state === "working"} onClick={() => void confirm()}>
            {action}
          </Button>
        </div>
      </div>
    </dialog>
  );
}
