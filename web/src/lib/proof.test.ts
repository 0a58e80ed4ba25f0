import { describe, expect, it } from 'vitest';
import { plausible, proof } from './proof';

describe('proof', () => {
  it('is a bearer token while there is one, else a header that no other site can send', () => {
    proof.keep('fbt_abc');
    expect(proof.headers('POST')).toEqual({ authorization: 'Bearer fbt_abc' });
    proof.keep('');
    expect(proof.headers()).toEqual({});
    expect(proof.headers('DELETE')).toEqual({ 'x-fleetbeat-request': '1' });
  });

  it('takes for a token only what a header can carry', () => {
    for (const bad of ['', 'short', 'with a blank in it', 'line\nfeed-in-it', 'ünicode-in-it', 'x'.repeat(5_000)]) expect(plausible(bad), bad).toBe(false);
    expect(plausible('fbt_0123456789abcdef_ABC-xyz.~')).toBe(true);
  });
});
