// How long something can still be decided. Not read out as it runs: the moment itself is its title.

import { fullTime, timeLeft, useNow } from "../../time";

const MINUTE = 60_000;

export function Countdown({ until }: { until: number }) {
  const now = useNow(until - Date.now() < 11 * MINUTE ? 1_000 : 30_000);
  const left = until - now;
  const tone = left < MINUTE ? "text-danger" : left < 10 * MINUTE ? "text-warn" : "text-faint";
  return (
    <span title={`Until ${fullTime(until)}`} className={`text-xs whitespace-nowrap tabular-nums ${tone}`}>
      {left <= 0 ? "Expires now" : `Expires in ${timeLeft(left)}`}
    </span>
  );
}
