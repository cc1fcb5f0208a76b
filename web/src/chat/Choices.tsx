// Who is to answer, and in which of the writer's roles. Nothing where there is nothing to choose.

import type { ServerInfo } from "@spool/client";
import { useAccount, useServerInfo } from "@spool/client/react";
import { PersonIcon, SpoolMark } from "../icons";
import { Picker } from "../ui/Picker";
import type { Choice } from "./choice";

interface ChoicesProps {
  choice: Choice;
  /** What the thread goes on with if nothing is chosen. */
  agentId: string | null;
  onChoose: (choice: Choice) => void;
}

/** Whether there is anything to choose. */
export function useHasChoices(): boolean {
  const { agents, roles } = useOffered();
  return agents.length > 1 || roles.length > 1;
}

export function Choices({ choice, agentId, onChoose }: ChoicesProps) {
  const { agents, roles, usual } = useOffered();
  const agent = agents.find(({ id }) => id === choice.agent) ?? agents.find(({ id }) => id === agentId) ?? agents[0];
  const role = roles.find(({ id }) => id === choice.role) ?? roles.find(({ id }) => id === usual) ?? roles[0];
  return (
    <>
      {agents.length > 1 && agent !== undefined && (
        <Picker
          label="Agent"
          title={agent.description ?? "Who answers"}
          icon={<SpoolMark size={14} />}
          value={agent.id}
          options={agents.map(({ id, name }) => ({ value: id, label: name }))}
          onPick={(id) => onChoose({ ...choice, agent: id })}
        />
      )}
      {roles.length > 1 && role !== undefined && (
        <Picker
          label="Role"
          title="In which of your roles you ask"
          icon={<PersonIcon size={15} className="shrink-0" />}
          value={role.id}
          options={roles.map(({ id, name }) => ({ value: id, label: name }))}
          onPick={(id) => onChoose({ ...choice, role: id })}
        />
      )}
    </>
  );
}

interface Offered {
  agents: NonNullable<ServerInfo["agents"]>;
  roles: NonNullable<ServerInfo["roles"]>;
  /** The role of a message that names none. */
  usual: string | undefined;
}

function useOffered(): Offered {
  const info = useServerInfo();
  const { me } = useAccount();
  const own = me?.roles ?? [];
  return {
    agents: info?.agents ?? [],
    roles: (info?.roles ?? []).filter(({ id }) => own.includes(id)),
    usual: me?.effectiveRole,
  };
}
