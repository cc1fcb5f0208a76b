// Asks before something that cannot be undone.

import { useId, useState, type ReactNode } from "react";
import { Button } from "./Button";
import { Modal } from "./Modal";

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
}

export function Confirm({ title, children, action, onConfirm, onClose }: ConfirmProps) {
  const id = useId();
  const [state, setState] = useState<"asking" | "working" | "failed">("asking");
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
    <Modal labelledBy={id} className="w-[min(25rem,calc(100vw-2.5rem))]" onClose={onClose}>
      {(close) => (
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
            <Button autoFocus onClick={close}>
              Cancel
            </Button>
            <Button look="danger" disabled={state === "working"} onClick={() => void confirm()}>
              {action}
            </Button>
          </div>
        </div>
      )}
    </Modal>
  );
}
