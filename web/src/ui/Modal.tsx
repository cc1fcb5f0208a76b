// A native modal dialog: it holds the focus and hears Escape; a click beside it closes it, too.

import { useEffect, useRef, type ReactNode } from "react";

interface ModalProps {
  /** The id of its heading. */
  labelledBy: string;
  className: string;
  onClose: () => void;
  children: (close: () => void) => ReactNode;
}

export function Modal({ labelledBy, className, onClose, children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => dialog.current?.close();
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={labelledBy}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && close()}
      className={`rounded-2xl border border-line bg-raised p-0 text-ink shadow-float backdrop:bg-scrim open:motion-settle ${className}`}
    >
      {children(close)}
    </dialog>
  );
}
