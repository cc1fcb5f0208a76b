// Light, dark, or as the system says. The first paint is set by public/theme.js, under the same rule.

import { useEffect, useState } from "react";

export type ThemeChoice = "system" | "light" | "dark";

const KEY = "spool.theme";
const darkSystem = () => window.matchMedia("(prefers-color-scheme: dark)");

function stored(): ThemeChoice {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

export function useTheme(): [ThemeChoice, (choice: ThemeChoice) => void] {
  const [choice, setChoice] = useState<ThemeChoice>(stored);
  useEffect(() => {
    const system = darkSystem();
    const apply = () => {
      document.documentElement.classList.toggle("dark", choice === "dark" || (choice === "system" && system.matches));
    };
    apply();
    system.addEventListener("change", apply);
    return () => system.removeEventListener("change", apply);
  }, [choice]);
  const choose = (next: ThemeChoice) => {
    try {
      if (next === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // The choice lasts as long as the page.
    }
    setChoice(next);
  };
  return [choice, choose];
}
