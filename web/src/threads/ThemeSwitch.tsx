// Chooses light, dark, or what the system says.

import type { ReactNode } from "react";
import { MoonIcon, SunIcon, SystemIcon } from "../icons";
import { useTheme, type ThemeChoice } from "../theme";

const CHOICES: readonly { choice: ThemeChoice; label: string; icon: ReactNode }[] = [
  { choice: "light", label: "Light", icon: <SunIcon size={15} /> },
  { choice: "system", label: "As the system", icon: <SystemIcon size={15} /> },
  { choice: "dark", label: "Dark", icon: <MoonIcon size={15} /> },
];

export function ThemeSwitch() {
  const [current, choose] = useTheme();
  return (
    <div role="radiogroup" aria-label="Theme" className="flex rounded-full border border-line p-0.5">
      {CHOICES.map(({ choice, label, icon }) => (
        <button
          key={choice}
          type="button"
          role="radio"
          aria-checked={choice === current}
          aria-label={label}
          title={label}
          onClick={() => choose(choice)}
          className={`inline-flex size-6.5 items-center justify-center rounded-full transition-colors ${
            choice === current ? "bg-hover text-ink" : "text-faint hover:text-ink"
          }`}
        >
          {icon}
        </button>
      ))}
    </div>
  );
}
