import { describe, expect, it } from 'vitest';
import { factsOf, gapsOf } from './capabilities';

const value = (all: Parameters<typeof factsOf>[0], title: string) => factsOf(all).find((one) => one.title === title)?.value;

describe('capabilities', () => {
  it('tells what is known apart from what is not', () => {
    expect(value({}, 'GPUs')).toBe('not known');
    expect(value({ has_gpu_nodes: false }, 'GPUs')).toBe('none');
    expect(value({ has_gpu_nodes: true, gpu_count: 8, gpu_node_count: 2, gpu_types: { A100: 8 }, has_gpu_operator: true }, 'GPUs')).toBe('8 on 2 nodes, 8 × A100, GPU Operator');
    expect(value({ node_count: 3, ready_node_count: 2 }, 'Nodes')).toBe('2 of 3 ready');
    expect(value({ node_count: 3 }, 'Nodes')).toBe('3');
    expect(value({ has_prometheus: false, has_loki: null }, 'Observability')).toBe('none seen');
    expect(value({ has_prometheus: true, has_loki: true }, 'Observability')).toBe('Prometheus, Loki');
    expect(value({ has_cnf_workloads: true, cnf_types: ['vdu'], ptp_config_count: 2 }, 'Network functions')).toBe('VDU, 2 PTP configurations');
  });

  it('says why something is not known, but not that an API is absent', () => {
    const unknown = { nodes: { reason: 'forbidden', message: 'The account may not list nodes' }, ptp_configs: { reason: 'absent', message: '' } };
    expect(gapsOf({ unknown })).toEqual([{ step: 'nodes', why: 'The account may not list nodes' }]);
  });
});
