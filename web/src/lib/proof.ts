// What requests show of who is calling: an API token, or for a session of the browser that they come from this page.
// Kept in memory and for the life of the tab; never in a URL. Whoever asks the server and is refused says so here.

const KEY = 'fleetbeat-token';
/** No page of another site can send it. */
const FROM_HERE = 'x-fleetbeat-request';

function storage(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    // Storage may be forbidden: then a reload signs out.
    return undefined;
  }
}

class Proof {
  private token = storage()?.getItem(KEY) ?? '';
  /** Called when the server no longer knows the caller. */
  onRefused: () => void = () => undefined;

  get hasToken(): boolean {
    return this.token !== '';
  }

  keep(token: string): void {
    this.token = token;
    if (token === '') storage()?.removeItem(KEY);
    else storage()?.setItem(KEY, token);
  }

  headers(method = 'GET'): Record<string, string> {
    const headers: Record<string, string> = {};
    if (this.token !== '') headers.authorization = `Bearer ${this.token}`;
    else if (method !== 'GET') headers[FROM_HERE] = '1';
    return headers;
  }
}

export const proof = new Proof();

/** A token can be sent: header values take no control characters, and nobody's token has blanks in it. */
export function plausible(token: string): boolean {
  return /^[\x21-\x7e]{8,4096}$/.test(token);
}
