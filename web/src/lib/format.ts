// Numbers and times for people.

export const STATE_WORD: Record<string, string> = { ONLINE: 'Online', DEGRADED: 'Degraded', OFFLINE: 'Offline', UNKNOWN: 'Unknown' };

export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(at: string | number | null | undefined, now: number): string {
  if (!at) return 'never';
  const ms = now - (typeof at === 'number' ? at : Date.parse(at));
  return ms < 1_500 ? 'just now' : `${span(ms)} ago`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short' });

export function clock(at: string | number): string {
  return CLOCK.format(new Date(at));
}

export function stamp(at: string | number): string {
  return `${DAY.format(new Date(at))} ${clock(at)}`;
}

export function millis(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || ms < 0) return '–';
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`;
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

export function percent(value: number | null | undefined, digits = 2): string {
  if (value === null || value === undefined) return '–';
  // Never round up to a hundred.
  const cut = Math.floor(value * 10 ** digits) / 10 ** digits;
  return `${value >= 100 ? '100' : cut.toFixed(digits)} %`;
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

const REASONS: Record<string, string> = {
  dns: 'name does not resolve', refused: 'connection refused', connect_timeout: 'no connection in time', tls: 'TLS failed',
  certificate_expired: 'certificate expired', timeout: 'no answer in time', unauthorized: 'unauthorized (401)',
  forbidden: 'forbidden (403)', throttled: 'throttled (429)', http_status: 'unexpected status', protocol: 'broken protocol',
  too_large: 'answer too large', blocked: 'address blocked', credentials: 'unusable credentials', healthy: 'healthy',
  not_checked: 'not yet checked', recovered: 'recovered',
};

export function reasonWord(reason: string): string {
  return REASONS[reason] ?? reason.replaceAll('_', ' ');
}

const EVENTS: Record<string, string> = {
  CLUSTER_REGISTERED: 'registered', CLUSTER_UPDATED: 'updated', CLUSTER_DELETED: 'deleted', CLUSTER_STATUS_CHANGED: 'state changed',
  CLUSTER_CREDENTIALS_UPDATED: 'credentials updated', CLUSTER_CREDENTIALS_EXPIRING: 'credentials expiring', CLUSTER_CAPABILITIES_CHANGED: 'capabilities changed',
  MONITOR_DEGRADED: 'monitor degraded', MONITOR_RECOVERED: 'monitor recovered', OBSERVATION_GAP: 'observation gap',
};
export const EVENT_TYPES = Object.keys(EVENTS);

export function eventWord(type: string): string {
  return EVENTS[type] ?? type.toLowerCase().replaceAll('_', ' ');
}

/** Conditions that are as they should be when they do not hold. */
export function badWhenTrue(condition: string): boolean {
  return /Expiring|Degraded|Pressure|Stuck|Failing|Failed|Flapping|Gap/.test(condition);
}

/** Saves text as a file. */
export function download(name: string, type: string, content: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}

/** A CSV cell. What a spreadsheet would run as a formula is quoted away. */
export function cell(value: unknown): string {
  const raw = value === null || value === undefined ? '' : String(value);
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(raw) ? `'${raw}` : raw;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
