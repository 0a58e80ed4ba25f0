import { describe, expect, it } from 'vitest';
import { parseFilter, type Subject } from './filter';

const berlin: Subject = {
  name: 'spoke-berlin-1', display_name: 'Berlin One', cluster_type: 'SPOKE', platform: 'OPENSHIFT', region: 'eu-central-1', environment: 'PRODUCTION',
  labels: { team: 'data', 'topology.example/zone': 'a' }, state: 'OFFLINE', stale: true, flapping: false, silenced: true, health_score: 50, latency_ms: null, reason: 'timeout',
};
const matches = (text: string) => parseFilter(text).test(berlin);

describe('the filter', () => {
  it.each([
    '', 'berlin', 'BERLIN', '"berlin one"', 'state:offline', 'state:off,degraded', 'team=data', 'topology.example/zone=a', 'region:eu', 'env:prod',
    'type:spoke platform:open', 'is:stale', 'is:silenced', 'score<60', 'score>=50', 'reason:timeout', 'team!=web', '-team=web', '-is:flapping', 'berlin team=data state:off',
  ])('matches %j', (text) => expect(matches(text)).toBe(true));

  it.each(['paris', 'state:online', 'team=web', 'team!=data', 'latency>0', 'is:flapping', 'score>60', '-berlin', 'berlin state:online', 'none='])(
    'does not match %j', (text) => expect(matches(text)).toBe(false),
  );

  it('says which word it does not know, and goes by the others', () => {
    const filter = parseFilter('colour:red state:offline');
    expect(filter.problems[0]).toContain('colour: is not known');
    expect(filter.test(berlin)).toBe(true);
  });

  it('takes a word that is being typed as it is', () => {
    for (const text of ['state:', 'is:', '"', '-', 'team', 'score<']) expect(parseFilter(text).problems, text).toEqual([]);
  });
});
