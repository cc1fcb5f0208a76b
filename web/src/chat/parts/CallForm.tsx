// A call of a tool that waits for a person: its arguments, changes to them, and the answers, for this time or
// for good.

import type { ApprovalView, ApprovalsDecideArgs } from "@spool/client";
import { useId, useState } from "react";
import { ChevronIcon, PencilIcon, StopIcon, CheckIcon } from "../../icons";
import { Button } from "../../ui/Button";
import { Editor } from "../../ui/Editor";
import { Menu } from "../../ui/Menu";
import { Answers, said } from "./Answers";
import { Subject } from "./ApprovalSubject";
import { useDecision } from "./useDecision";
import { asJson } from "./Value";
import { Votes } from "./Votes";

export function CallForm({ approval, onDecided }: { approval: ApprovalView; onDecided: () => void }) {
  const id = useId();
  const deciding = useDecision(approval._id, onDecided);
  const [text, setText] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const original = asJson(approval.input);
  const changed = text !== null && text !== original;
  const edit = changed ? readEdit(text) : {};
  const single = (approval.approversNeeded ?? 1) <= 1;
  const tool = approval.tool ?? "this tool";
  const blocked = deciding.blocked;
  const approve = (more: Lasting = {}) => void deciding.decide({ decision: "approve", ...said(reason), ...edit, ...more });
  const reject = (more: Lasting = {}) => void deciding.decide({ decision: "reject", ...said(reason), ...more });
  const lasting = [
    ...(approval.highRisk === true || changed
      ? []
      : [
          { label: `Approve, and always allow ${tool}`, icon: <CheckIcon size={16} />, onSelect: () => approve({ remember: { scope: "tool" } }) },
          {
            label: "Approve, and always allow exactly this",
            icon: <CheckIcon size={16} />,
            onSelect: () => approve({ remember: { scope: "arguments" } }),
          },
        ]),
    { label: `Reject, and never allow ${tool}`, icon: <StopIcon size={16} />, danger: true, onSelect: () => reject({ remember: { scope: "tool" } }) },
  ];
  return (
    <>
      {text === null ? (
        <Subject approval={approval} />
      ) : (
        <div>
          <label htmlFor={`${id}-edit`} className="mb-1 block text-xs font-medium text-faint">
            Input, as it shall run
          </label>
          <Editor
            id={`${id}-edit`}
            autoFocus
            dir="ltr"
            value={text}
            aria-invalid={edit === null}
            aria-describedby={edit === null ? `${id}-fault` : undefined}
            onChange={(event) => setText(event.target.value)}
            className="max-h-96"
          />
          {edit === null && (
            <p id={`${id}-fault`} role="alert" className="mt-1.5 text-danger">
              This is not JSON yet.
            </p>
          )}
        </div>
      )}
      <Votes approval={approval} />
      <Answers
        deciding={deciding}
        reason={reason}
        expiresAt={approval.expiresAt}
        onReason={setReason}
        // What several people approve is what all of them saw.
        more={single && <EditButton editing={text !== null} disabled={blocked && !deciding.offline} onToggle={() => setText(text === null ? original : null)} />}
      >
        <Button disabled={blocked} onClick={() => reject()}>
          Reject
        </Button>
        <span className="inline-flex">
          <Button look="strong" disabled={blocked || edit === null} onClick={() => approve()} className="rounded-e-none">
            {changed ? "Approve with changes" : "Approve"}
          </Button>
          <Menu
            label="Decide for good"
            icon={<ChevronIcon size={14} className="rotate-90" />}
            disabled={blocked || edit === null}
            items={lasting}
            buttonClassName="h-9! w-8! rounded-s-none border-s border-page/25 bg-accent text-on-accent! hover:bg-accent-strong! hover:text-on-accent! disabled:hover:bg-accent! disabled:opacity-50!"
          />
        </span>
      </Answers>
    </>
  );
}

function EditButton({ editing, disabled, onToggle }: { editing: boolean; disabled: boolean; onToggle: () => void }) {
  return (
    <Button disabled={disabled} onClick={onToggle} className="border-transparent bg-transparent ps-2.5 text-soft hover:border-transparent">
      {!editing && <PencilIcon size={15} />}
      {editing ? "Discard changes" : "Edit"}
    </Button>
  );
}

type Lasting = Pick<ApprovalsDecideArgs, "remember">;

/** What the decision carries; `null` if the text is none. */
function readEdit(text: string): { edited: unknown } | null {
  try {
    return { edited: JSON.parse(text) as unknown };
  } catch {
    return null;
  }
}
