// The address of a file's bytes: `undefined` while it is asked for, `null` if the file is gone.

import { useEffect, useState } from "react";
import { useSpool } from "./context";

export function useFileAddress(uploadId: string): string | null | undefined {
  const { files } = useSpool();
  const [known, setKnown] = useState<{ uploadId: string; url: string | null }>();
  useEffect(() => {
    let wanted = true;
    const show = (url: string | null) => wanted && setKnown({ uploadId, url });
    files.address(uploadId).then(show, () => show(null));
    return () => {
      wanted = false;
    };
  }, [files, uploadId]);
  return known?.uploadId === uploadId ? known.url : undefined;
}
