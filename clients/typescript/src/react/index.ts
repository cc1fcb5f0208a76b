// React hooks of Spool. Each is one file; the merging they show is in the package's pure files.

export { SpoolProvider, useSpool } from "./context";
export { useAccount, useDeleteAccount, useSessions, type AccountView, type Me, type SignedInSession } from "./useAccount";
export { useApproval, useDecide } from "./useApproval";
export { useArtifact, useUpdateArtifact } from "./useArtifact";
export { useConnectionState, type ConnectionState } from "./useConnectionState";
export { FileAddresses, useFileAddress, type AddressBook } from "./useFileAddress";
export { useGuestAuth, type GuestAuth } from "./useGuestAuth";
export { useLiveFolds } from "./useLiveFolds";
export { useMessages, type Messages } from "./useMessages";
export { useRetry } from "./useRetry";
export { useSend, type Send } from "./useSend";
export { useServerInfo } from "./useServerInfo";
export { useSharedMessages, useSharedThread, useSharedWithMe, useCopyShared, type SharedMessages } from "./useShared";
export { useShareActions, useShares, type ShareActions } from "./useShares";
export { useStop } from "./useStop";
export { useThread } from "./useThread";
export { useThreadActions, useThreads, type ThreadActions, type Threads } from "./useThreads";
