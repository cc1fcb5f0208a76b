// What the reader said while the answer was being made, where the answer took it up.

export function SteeredPart({ text }: { text: string }) {
  return (
    <div className="flex flex-col items-end gap-1">
      <h3 className="sr-only">You said meanwhile</h3>
      <p
        dir="auto"
        className="max-w-[min(80%,32rem)] rounded-[1.125rem] rounded-ee-md border border-accent-line bg-accent-soft/50 px-3.5 py-2 text-start text-sm leading-relaxed wrap-anywhere whitespace-pre-wrap"
      >
        {text}
      </p>
      <span aria-hidden="true" className="text-2xs text-faint">
        taken up while answering
      </span>
    </div>
  );
}
