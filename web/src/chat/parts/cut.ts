// The beginning of a long text, for a look at it. Pure.

/** What a first look shows. */
const LINES = 18;
const CHARACTERS = 3_000;

export interface Cut {
  text: string;
  /** How much more there is, in words; `null` if this is all. */
  rest: string | null;
}

/** Cuts at the end of a line where there is one, and never inside a character. */
export function cut(text: string, lines = LINES, characters = CHARACTERS): Cut {
  let end = -1;
  for (let line = 0; line < lines; line += 1) {
    end = text.indexOf("\n", end + 1);
    if (end < 0) break;
  }
  if (end < 0) end = text.length;
  if (end > characters) end = whole(text, characters);
  // One short line more is not worth a button.
  if (text.length - end < 80 && !text.slice(end + 1).includes("\n")) return { text, rest: null };
  return { text: text.slice(0, end), rest: words(text, end) };
}

function whole(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}

function words(text: string, end: number): string {
  const rest = text.slice(end).split("\n").length - 1;
  return rest > 1 ? `${rest.toLocaleString()} more lines` : `${(text.length - end).toLocaleString()} more characters`;
}
