// Switches notifications of this browser on and off. Nothing where they cannot be.

import { useId, useState } from "react";
import { usePushState } from "./push";

export function PushSwitch() {
  const id = useId();
  const { state, fault, turn } = usePushState();
  const [working, setWorking] = useState(false);
  if (state === "absent") return null;
  if (state === "blocked") {
    return <p className="text-xs text-faint">Notifications are blocked in this browser’s settings</p>;
  }
  const on = state === "on";
  const toggle = () => {
    setWorking(true);
    void turn(!on).finally(() => setWorking(false));
  };
  return (
    <span className="inline-flex flex-wrap items-center gap-x-2.5 gap-y-1 text-[0.8125rem]">
      <label htmlFor={id} className="text-soft">
        Notify this browser
      </label>
      <button
        id={id}
        type="button"
        role="switch"
        aria-checked={on}
        disabled={working || state === "loading"}
        onClick={toggle}
        className={`relative h-5 w-9 rounded-full transition-colors disabled:opacity-50 ${on ? "bg-accent" : "bg-hover ring-1 ring-line-strong ring-inset"}`}
      >
        <span className={`absolute top-0.5 size-4 rounded-full transition-[inset-inline-start] ${on ? "start-4.5 bg-on-accent" : "start-0.5 bg-faint"}`} />
      </button>
      {fault !== null && (
        <span role="alert" className="basis-full text-xs text-danger">
          {fault}
        </span>
      )}
    </span>
  );
}
