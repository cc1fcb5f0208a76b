// The drafts of this browser, in place of the list of threads.

import { TrashIcon } from "../icons";
import { draftTitle } from "./drafts";
import { drafts, openDraft, useDrafts, useOpenDraft } from "./useDrafts";

export function LocalList() {
  const list = useDrafts();
  const current = useOpenDraft();
  if (list.length === 0) {
    return (
      <div className="px-2.5 pt-3 text-sm text-faint motion-appear">
        <div className="stitched mb-3 h-0.5 w-16" aria-hidden="true" />
        <p className="text-pretty">Drafts are kept in this browser and listed here.</p>
      </div>
    );
  }
  return (
    <section aria-label="Drafts in this browser" className="pt-1">
      <h2 className="px-2.5 pb-1.5 text-xs font-medium text-faint">Drafts in this browser</h2>
      <ul className="space-y-px">
        {list.map((draft) => (
          <li key={draft.id} className="group relative">
            <button
              type="button"
              aria-current={draft.id === current ? "page" : undefined}
              onClick={() => openDraft(draft.id)}
              className={`flex h-9 w-full items-center rounded-lg px-2.5 text-start text-sm transition-colors ${
                draft.id === current ? "bg-hover font-medium text-ink" : "text-ink/85 hover:bg-hover/55 hover:text-ink"
              }`}
            >
              <span dir="auto" className="min-w-0 flex-1 truncate pe-6">
                {draftTitle(draft)}
              </span>
            </button>
            <button
              type="button"
              aria-label={`Delete ${draftTitle(draft)}`}
              onClick={() => {
                drafts.remove(draft.id);
                if (draft.id === current) openDraft(null);
              }}
              className="absolute inset-y-0 end-1 my-auto inline-flex size-7 items-center justify-center rounded-md text-soft opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100 hover:text-danger pointer-coarse:opacity-100"
            >
              <TrashIcon size={16} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
