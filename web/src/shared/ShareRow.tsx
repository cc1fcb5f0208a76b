// One way in which a thread is shared: what it shows, until when, and the ways to copy and to end it.

import type { ShareView } from "@spool/client";
import { useState } from "react";
import { ChainIcon, CheckIcon, CopyIcon, PersonIcon } from "../icons";
import { fullTime } from "../time";
import { Button } from "../ui/Button";
import { IconButton } from "../ui/IconButton";
import { useCopy } from "../ui/useCopy";

interface ShareRowProps {
  share: ShareView;
  /** Of a link; `null` if there is none to show. */
  address: string | null;
  onEnd: () => Promise<void>;
}

export function ShareRow({ share, address, onEnd }: ShareRowProps) {
  const [copied, copy] = useCopy();
  const [ending, setEnding] = useState(false);
  const isLink = share.audience === "link";
  const name = isLink ? (share.mode === "live" ? "Live link" : "Link to a snapshot") : (share.viewerEmail ?? share.viewerId ?? "");
  const end = async () => {
    setEnding(true);
    await onEnd();
    setEnding(false);
  };
  return (
    <li data-share={share._id} className="flex items-center gap-3 py-2.5">
      <span className="shrink-0 text-faint">{isLink ? <ChainIcon size={17} /> : <PersonIcon size={17} />}</span>
      <div className="min-w-0 flex-1">
        <p className="truncate text-sm font-medium">
          {address === null ? (
            name
          ) : (
            <a href={address} target="_blank" rel="noopener noreferrer" className="hover:text-accent">
              {name}
            </a>
          )}
        </p>
        <p className="text-xs text-pretty text-faint">{detail(share)}</p>
      </div>
      {address !== null && (
        <IconButton label={copied ? "Copied" : "Copy the link"} onClick={() => copy(address)}>
          {copied ? <CheckIcon size={16} className="text-ok" /> : <CopyIcon size={16} />}
        </IconButton>
      )}
      <Button disabled={ending} onClick={() => void end()} aria-label={`End: ${name}`} className="h-8! px-3!">
        End
      </Button>
    </li>
  );
}

function detail({ createdAt, expiresAt, includes, mode }: ShareView): string {
  const begun = mode === "snapshot" ? `As of ${fullTime(createdAt)}` : `Since ${fullTime(createdAt)}`;
  const until = expiresAt === undefined ? "" : `, until ${fullTime(expiresAt)}`;
  const extras = [includes.files && "files", includes.reasoning && "reasoning", includes.tools && "tool calls"].filter(Boolean);
  return `${begun}${until}${extras.length === 0 ? "" : `, with ${extras.join(", ")}`}`;
}
