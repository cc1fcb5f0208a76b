// A labelled line to fill in.

import { useId, type ComponentProps } from "react";

type FieldProps = ComponentProps<"input"> & { label: string; hint?: string };

export function Field({ label, hint, ...props }: FieldProps) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1.5 block text-sm font-medium">
        {label}
      </label>
      <input
        id={id}
        dir="auto"
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        className="block h-10 w-full rounded-lg border border-line-strong bg-page px-3 text-[0.9375rem] transition-colors placeholder:text-faint focus-visible:border-accent aria-invalid:border-danger"
        {...props}
      />
      {hint !== undefined && (
        <p id={`${id}-hint`} className="mt-1.5 text-xs text-faint">
          {hint}
        </p>
      )}
    </div>
  );
}

export const PASSWORD_HINT = "At least 10 characters. A few words do well.";

/** The lengths that the server takes. */
export const PASSWORD_LENGTH = { minLength: 10, maxLength: 256 } as const;
