// When something was last used. Known to a few minutes, so it is not told more exactly.

const MINUTE = 60_000;
const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function lastUse(at: number, now: number): string {
  const minutes = Math.floor((now - at) / MINUTE);
  if (minutes < 2) return "just now";
  if (minutes < 60) return format.format(-minutes, "minute");
  if (minutes < 60 * 24) return format.format(-Math.floor(minutes / 60), "hour");
  return format.format(-Math.floor(minutes / (60 * 24)), "day");
}
