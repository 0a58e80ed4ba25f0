// What clusters are grouped by, from the word in the URL.

import type { Fleet } from './fleet';

export function groupKey(fleet: Fleet, group: string): (index: number) => string {
  if (group.startsWith('label:')) {
    const label = group.slice(6);
    return (index) => fleet.specs[index]!.labels[label] ?? '';
  }
  switch (group) {
    case 'region':
      return (index) => fleet.specs[index]!.region ?? '';
    case 'environment':
      return (index) => fleet.specs[index]!.environment;
    case 'type':
      return (index) => fleet.specs[index]!.cluster_type;
    case 'platform':
      return (index) => fleet.specs[index]!.platform;
    case 'state':
      return (index) => fleet.stateOf(index);
    default:
      return () => '';
  }
}
