// A quiet sign that something runs.

export function Spinner() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" fill="none" aria-hidden="true" className="motion-turn">
      <circle cx="7" cy="7" r="5.25" stroke="currentColor" strokeWidth="1.75" strokeDasharray="20 13" strokeLinecap="round" />
    </svg>
  );
}
