// The UI's icons: one stroke, one grid. Decorative; the control around an icon carries the name.

import type { ReactNode, SVGProps } from "react";

type IconProps = SVGProps<SVGSVGElement> & { size?: number };

function icon(content: ReactNode) {
  return function Icon({ size = 18, ...props }: IconProps) {
    return (
      <svg
        width={size}
        height={size}
        viewBox="0 0 20 20"
        fill="none"
        stroke="currentColor"
        strokeWidth={1.5}
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
        focusable="false"
        {...props}
      >
        {content}
      </svg>
    );
  };
}

export const PlusIcon = icon(<path d="M10 4.5v11M4.5 10h11" />);
export const MenuIcon = icon(<path d="M3.5 6.5h13M3.5 13.5h9" />);
export const CloseIcon = icon(<path d="m5.5 5.5 9 9m0-9-9 9" />);
export const MoreIcon = icon(
  <g fill="currentColor" stroke="none">
    <circle cx="4.75" cy="10" r="1.35" />
    <circle cx="10" cy="10" r="1.35" />
    <circle cx="15.25" cy="10" r="1.35" />
  </g>,
);
export const PinIcon = icon(<path d="m12.2 3.2 4.6 4.6-2.7 1-3 3-.5 3.7-6.1-6.1 3.7-.5 3-3zM7.4 12.6l-4 4" />);
export const PencilIcon = icon(<path d="m12.8 4.2 3 3L7 16l-3.6.6L4 13zM11 6l3 3" />);
export const TrashIcon = icon(<path d="M3.8 5.5h12.4M8 5.2V3.5h4v1.7M5.5 5.7l.7 10.8h7.6l.7-10.8M8.4 8.8v4.6M11.6 8.8v4.6" />);
export const ArrowUpIcon = icon(<path d="M10 16V4.5M5.2 9.2 10 4.4l4.8 4.8" strokeWidth={1.8} />);
export const ArrowDownIcon = icon(<path d="M10 4v11.5M5.2 10.8 10 15.6l4.8-4.8" />);
export const StopIcon = icon(<rect x="5.5" y="5.5" width="9" height="9" rx="1.8" fill="currentColor" stroke="none" />);
export const CopyIcon = icon(
  <>
    <rect x="7.2" y="7.2" width="9.3" height="9.3" rx="2" />
    <path d="M12.8 4.6a1.6 1.6 0 0 0-1.3-1.1H5a1.6 1.6 0 0 0-1.5 1.6v6.4c0 .7.5 1.2 1.1 1.3" />
  </>,
);
export const CheckIcon = icon(<path d="m4.5 10.6 3.6 3.6 7.4-8" />);
export const RetryIcon = icon(<path d="M16 10a6 6 0 1 1-1.8-4.3L16 7.4M16 3.8v3.6h-3.6" />);
export const ChevronIcon = icon(<path d="m7.8 5.2 4.8 4.8-4.8 4.8" />);
export const AlertIcon = icon(<path d="M10 6.6v4.2m0 2.6v.1M10 2.8a7.2 7.2 0 1 1 0 14.4 7.2 7.2 0 0 1 0-14.4Z" />);
export const PauseIcon = icon(<path d="M10 2.8a7.2 7.2 0 1 1 0 14.4 7.2 7.2 0 0 1 0-14.4ZM8.2 7.5v5M11.8 7.5v5" />);
export const ToolIcon = icon(<path d="M12.3 3.6a4.2 4.2 0 0 0-3.9 5.7l-5 5a1.65 1.65 0 0 0 2.3 2.3l5-5a4.2 4.2 0 0 0 5.4-5.3l-2.5 2.5-2.4-2.4 2.5-2.5a4 4 0 0 0-1.4-.3Z" />);
export const ThoughtIcon = icon(<path d="M10 3.2v2M5.2 5.2l1.4 1.4M3.2 10h2M14.8 5.2l-1.4 1.4M16.8 10h-2M7.6 13.2a4 4 0 1 1 4.8 0v1.2H7.6zM8.2 17h3.6" />);
export const LinesIcon = icon(<path d="M3.5 5.5h13M3.5 10h9M3.5 14.5h11" />);
export const CodeIcon = icon(<path d="m7 5.5-4 4.5 4 4.5M13 5.5l4 4.5-4 4.5" />);
export const SunIcon = icon(<path d="M10 6.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4ZM10 2.5v1.4M10 16.1v1.4M4.7 4.7l1 1M14.3 14.3l1 1M2.5 10h1.4M16.1 10h1.4M4.7 15.3l1-1M14.3 5.7l1-1" />);
export const MoonIcon = icon(<path d="M16.4 11.9A6.8 6.8 0 0 1 8.1 3.6a6.8 6.8 0 1 0 8.3 8.3Z" />);
export const SystemIcon = icon(<path d="M3.2 4.2h13.6v9.2H3.2zM7.4 16.6h5.2M10 13.6v2.8" />);
export const LinkIcon = icon(<path d="M8.4 4.6H5a1.4 1.4 0 0 0-1.4 1.4v9A1.4 1.4 0 0 0 5 16.4h9a1.4 1.4 0 0 0 1.4-1.4v-3.4M11.4 3.6h5v5M16.2 3.8 9.4 10.6" />);

export const ShareIcon = icon(<path d="M10 12.2V3.4M6.8 6.2 10 3l3.2 3.2M6.6 8.8H5.2v8h9.6v-8h-1.4" />);
export const ChainIcon = icon(<path d="M8.6 11.4a3 3 0 0 0 4.3 0l2.6-2.6a3 3 0 0 0-4.3-4.3l-.9.9M11.4 8.6a3 3 0 0 0-4.3 0l-2.6 2.6a3 3 0 0 0 4.3 4.3l.9-.9" />);
export const ClipIcon = icon(<path d="m15.6 9.4-5.5 5.5a3.4 3.4 0 0 1-4.8-4.8l5.9-5.9a2.3 2.3 0 0 1 3.2 3.2l-5.8 5.8a1.1 1.1 0 0 1-1.6-1.6l5-5" />);
export const FileIcon = icon(<path d="M5.2 3.2h6.3l3.3 3.3v10.3H5.2zM11.3 3.4v3.3h3.3" />);

export const SlidersIcon = icon(<path d="M3.4 6.2h7.2M14.4 6.2h2.2M3.4 13.8h2.2M9.4 13.8h7.2M12.5 4.3a1.9 1.9 0 1 1 0 3.8 1.9 1.9 0 0 1 0-3.8ZM7.5 11.9a1.9 1.9 0 1 1 0 3.8 1.9 1.9 0 0 1 0-3.8Z" />);
export const PersonIcon = icon(<path d="M10 3.4a3.1 3.1 0 1 1 0 6.2 3.1 3.1 0 0 1 0-6.2ZM4 16.4c.6-2.8 3-4.4 6-4.4s5.4 1.6 6 4.4" />);
export const LeaveIcon = icon(<path d="M8.2 3.6H5.4A1.6 1.6 0 0 0 3.8 5.2v9.6a1.6 1.6 0 0 0 1.6 1.6h2.8M12.6 6.4l3.6 3.6-3.6 3.6M16 10H8" />);

export const CompareIcon = icon(<path d="M10 3.4v13.2M3.6 5.6h3.2M3.6 9h3.2M3.6 12.4h3.2M13.2 5.6h3.2M13.2 10.6h3.2M14.8 4v3.2" />);
export const DownloadIcon = icon(<path d="M10 3.6v8.8M6.4 9 10 12.6 13.6 9M4 13.6v2.8h12v-2.8" />);
export const BellIcon = icon(<path d="M10 3.2a4.4 4.4 0 0 1 4.4 4.4c0 4.2 1.6 5.2 1.6 5.2H4s1.6-1 1.6-5.2A4.4 4.4 0 0 1 10 3.2ZM8.4 15.6a1.7 1.7 0 0 0 3.2 0" />);
export const PanelIcon = icon(<path d="M3.4 4.2h13.2v11.6H3.4zM11.6 4.4v11.2" />);
export const EyeIcon = icon(<path d="M2.8 10S5.4 5 10 5s7.2 5 7.2 5-2.6 5-7.2 5-7.2-5-7.2-5ZM10 7.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4Z" />);

/** The product's mark: a spool with its thread on. */
export function SpoolMark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false" className="text-accent">
      <g fill="currentColor">
        <rect x="6" y="3" width="20" height="5" rx="2.5" />
        <rect x="6" y="24" width="20" height="5" rx="2.5" />
      </g>
      <g fill="none" stroke="currentColor" strokeWidth="2.6" strokeLinecap="round">
        <path d="M9.5 13.6 22.5 11" />
        <path d="M9.5 17.4 22.5 14.8" />
        <path d="M9.5 21.2 22.5 18.6" />
      </g>
    </svg>
  );
}
