// Sizes of files in words.

const UNITS = ["bytes", "KB", "MB", "GB"];

/** "3 bytes", "1.4 KB", "20 MB". */
export function sizeOf(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const shown = unit === 0 || size >= 10 ? Math.round(size) : Math.round(size * 10) / 10;
  return `${shown} ${unit === 0 && shown === 1 ? "byte" : UNITS[unit]}`;
}
