// Who looks: asks the server who the caller is, signs in and out. Nothing of the fleet is asked before that is known.

import { ApiError, request, wording } from './api';
import { proof } from './proof';
import { route } from './route.svelte';

export type Role = 'viewer' | 'operator' | 'admin';
const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export interface Caller {
  id: string;
  name: string;
  /** `open` when nobody has to prove anything. */
  method: string;
  role: Role;
  scope: { everything?: boolean; cluster_ids?: string[]; label_selector?: string };
  expires_at: string | null;
}

export interface Methods {
  required: boolean;
  methods: string[];
  login_url: string | null;
  login_name: string | null;
  logout_url: string | null;
}

const AGAIN_MS = 2_000;

class Session {
  /** `asking` until the server has said who the caller is. */
  standing = $state<'asking' | 'in' | 'out'>('asking');
  caller = $state.raw<Caller | undefined>();
  methods = $state.raw<Methods | undefined>();
  /** Why somebody who was signed in no longer is, or why the server cannot be asked. */
  notice = $state('');

  /** Asks until there is an answer. */
  async begin(): Promise<void> {
    proof.onRefused = () => this.refused();
    try {
      this.enter(await request<Caller>('/api/v1/whoami', { asking: true }));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        if (proof.hasToken) this.notice = 'The token of this tab is no longer accepted.';
        proof.keep('');
        return this.leave();
      }
      this.notice = wording(error);
      setTimeout(() => void this.begin(), AGAIN_MS);
    }
  }

  async signIn(token: string): Promise<void> {
    proof.keep(token);
    try {
      this.enter(await request<Caller>('/api/v1/whoami', { asking: true }));
    } catch (error) {
      proof.keep('');
      const refused = error instanceof ApiError && error.status === 401;
      throw refused ? new Error('This token is not accepted: it may be mistyped, expired or revoked.') : error;
    }
  }

  async signOut(): Promise<void> {
    const url = this.methods?.logout_url;
    if (!proof.hasToken && url) await request(url, { method: 'POST', asking: true }).catch(() => undefined);
    proof.keep('');
    this.notice = 'You are signed out.';
    this.leave();
  }

  may(role: Role): boolean {
    return this.caller !== undefined && RANK[this.caller.role] >= RANK[role];
  }

  private refused(): void {
    if (this.standing !== 'in') return;
    proof.keep('');
    this.notice = 'You are no longer signed in: what you signed in with expired or was revoked.';
    this.leave();
  }

  private enter(caller: Caller): void {
    [this.caller, this.standing, this.notice] = [caller, 'in', ''];
    if (route.get('sign_in') !== '') route.set({ sign_in: '' });
    if (caller.method !== 'open') void this.askMethods();
  }

  private leave(): void {
    [this.caller, this.standing] = [undefined, 'out'];
    void this.askMethods();
  }

  private async askMethods(): Promise<void> {
    this.methods = await request<Methods>('/api/v1/auth/methods', { asking: true }).catch(() => this.methods);
  }
}

export const session = new Session();
