// What assistants know of a guest, and what they may.

import { useId } from "react";
import { CloseIcon } from "../icons";
import { IconButton } from "../ui/IconButton";
import { Modal } from "../ui/Modal";
import Memory from "./Memory";
import Rules from "./Rules";

export default function SettingsDialog({ onClose }: { onClose: () => void }) {
  const id = useId();
  return (
    <Modal labelledBy={id} className="max-h-[min(44rem,calc(100dvh-2.5rem))] w-[min(33rem,calc(100vw-2rem))] flex-col overflow-hidden open:flex" onClose={onClose}>
      {(close) => (
        <>
          <header className="flex items-center gap-3 border-b border-line py-4 ps-6 pe-4">
            <h2 id={id} className="min-w-0 flex-1 text-lg leading-snug font-semibold tracking-tight">
              Memory and instructions
            </h2>
            <IconButton label="Close" onClick={close}>
              <CloseIcon size={20} />
            </IconButton>
          </header>
          <div data-scroll className="min-h-0 space-y-8 overflow-y-auto px-6 py-5">
            <Memory />
            <Rules />
          </div>
        </>
      )}
    </Modal>
  );
}
