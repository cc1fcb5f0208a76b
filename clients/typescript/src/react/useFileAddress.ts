// The address of a file's bytes: `undefined` while it is asked for, `null` if there is none.

import { createContext, createElement, useContext, useEffect, useState, type ReactNode } from "react";
import { useSpool } from "./context";

/** Finds addresses in another way than as the owner of the files. */
export interface AddressBook {
  address: (uploadId: string) => Promise<string>;
}

const Book = createContext<AddressBook | null>(null);

export function FileAddresses({ book, children }: { book: AddressBook; children: ReactNode }) {
  return createElement(Book.Provider, { value: book }, children);
}

export function useFileAddress(uploadId: string): string | null | undefined {
  const { files } = useSpool();
  const book: AddressBook = useContext(Book) ?? files;
  const [known, setKnown] = useState<{ uploadId: string; url: string | null }>();
  useEffect(() => {
    let wanted = true;
    const show = (url: string | null) => wanted && setKnown({ uploadId, url });
    book.address(uploadId).then(show, () => show(null));
    return () => {
      wanted = false;
    };
  }, [book, uploadId]);
  return known?.uploadId === uploadId ? known.url : undefined;
}
