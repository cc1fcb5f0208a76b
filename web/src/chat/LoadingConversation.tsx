// The shape of a conversation, for the moment before it is there.

export function LoadingConversation() {
  return (
    <div className="min-h-0 flex-1 overflow-hidden" aria-busy="true">
      <span className="sr-only">Loading the conversation</span>
      <div className="mx-auto w-full max-w-read space-y-8 px-4 pt-6 motion-late sm:px-6">
        <div className="ms-auto h-11 w-56 rounded-[1.25rem] rounded-ee-md bg-hover motion-breathe" />
        <Lines widths={["92%", "98%", "86%", "41%"]} />
        <div className="ms-auto h-11 w-72 rounded-[1.25rem] rounded-ee-md bg-hover motion-breathe" />
        <Lines widths={["95%", "88%", "62%"]} />
      </div>
    </div>
  );
}

function Lines({ widths }: { widths: readonly string[] }) {
  return (
    <div className="space-y-3.5">
      {widths.map((width) => (
        <div key={width} className="h-3.5 rounded-full bg-hover motion-breathe" style={{ width }} />
      ))}
    </div>
  );
}
