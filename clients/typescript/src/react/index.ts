// React hooks of Spool. Each is one file; the merging they show is in the package's pure files.

export { SpoolProvider, useSpool } from "./context";
export { useAccount, useDeleteAccount, useSessions, type AccountView, type Me, type SignedInSession } from "./useAccount";
export { useApproval, useDecide, useDecideMany, type Asked, type Decided, type Decision, type Vote } from "./useApproval";
export { useArtifact, useUpdateArtifact } from "./useArtifact";
export { useArtifactText } from "./useArtifactText";
export { useArtifacts, useVersions, type Listing } from "./useArtifacts";
export { useConnectionState, type ConnectionState } from "./useConnectionState";
export { FileAddresses, useFileAddress, type AddressBook } from "./useFileAddress";
export { useGuestAuth, type GuestAuth } from "./useGuestAuth";
export { useInbox, useInboxCount, useMarkSeen, useThreadApprovals, type InboxCount } from "./useInbox";
export { useLiveFolds } from "./useLiveFolds";
export { useInstructions, useMemory, useMemoryActions, type Memory, type MemoryActions, type MemoryEntry } from "./useMemory";
export { useMessages, type Messages } from "./useMessages";
export { usePlanSession, type Phase } from "./usePlanSession";
export { usePrompt } from "./usePrompt";
export { usePush, usePushActions, type PushActions, type PushView } from "./usePush";
export { useRetry } from "./useRetry";
export { useRemoveRule, useRules, type RuleView } from "./useRules";
export { useSend, type Send } from "./useSend";
export { useServerInfo } from "./useServerInfo";
export { useSharedMessages, useSharedThread, useSharedWithMe, useCopyShared, type SharedMessages } from "./useShared";
export { useShareActions, useShares, type ShareActions } from "./useShares";
export { useStop } from "./useStop";
export { useTodos, type Todo } from "./useTodos";
export { useThread } from "./useThread";
export { useThreadActions, useThreads, type ThreadActions, type Threads } from "./useThreads";
