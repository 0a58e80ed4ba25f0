//! The names of all figures that a run can have, so that a limit of anything else is refused before the run and not at its end.

/// Names as they are; of `{a,b}` any one, of `*` any number.
const FIGURES: &[&str] = &[
    // The run.
    "clusters",
    "registered_seconds",
    "registrations_repeated",
    "all_checked_seconds",
    "connects_at_first_max_per_second",
    "connects_per_second_even",
    "spokes_out_of_descriptors",
    "script_changes",
    // Health against the truth.
    "transitions_due",
    "state_changes",
    "lost",
    "false_transitions",
    "false_offline",
    "disordered_clusters",
    "final_state_mismatches",
    "detection_{event,live,redis}_{p50,p99,max}_seconds",
    "holding_max",
    "surveys",
    "monitor_degraded_after_seconds",
    "monitor_degraded_events",
    "monitor_lost_share",
    "observation_gap_events",
    // Events.
    "log_events",
    "sequence_gaps",
    "broken_links",
    "repeated_ids",
    "position_disorder",
    "misshapen",
    "{live,stream,channel}_{received,lost,not_in_log,altered,order_violations,duplicates}",
    "heard_{due,deliveries,lost,twice,order_violations,reopened}",
    "heard_ws_{due,deliveries,lost,twice,order_violations}",
    "{heard,heard_ws}_{p50,p99,max}_seconds",
    "slow_not_told",
    "events_{waiting,unsaved}_{max,end}",
    // Callers.
    "{gets,lists,writes,churn_calls}_per_second",
    "{get,list,write,churn}_{calls,unexpected}",
    "{get,list,write,churn}_unexpected_*",
    "{get,list,write,churn}_{p50,p99,max}_seconds",
    "get_{p50,p99}_{quiet,outage}_seconds",
    "get_{p50,p99}_outage_ratio",
    "writes_acknowledged",
    "writes_lost",
    "writes_lost_on_stream",
    "writes_not_kept",
    "writes_repeated",
    "writes_in_doubt",
    "writes_in_doubt_told",
    // Cost and pace.
    "checks",
    "checks_not_run",
    "checks_per_second",
    "check_rate_share",
    "requests",
    "handshakes",
    "resumed_handshakes",
    "resumed_share",
    "kept_connections_end",
    "cpu_ms_per_1000_checks",
    "cpu_percent",
    "stolen_percent",
    "stood_still_max_seconds",
    "rss_mib",
    "rss_growth_mib",
    "rss_kib_per_cluster",
    "descriptors",
    "descriptors_growth",
    "threads",
    "threads_growth",
    "lag_{p50,p99}_seconds",
    "lag_p99_{hub,spoke,edge,far_edge}_seconds",
    "lag_p99_share_of_period",
    "probe_p99_{hub,spoke,edge,far_edge}_{seconds,ratio}",
    "metrics_max_seconds",
    "metrics_mib",
    // Outages.
    "outages",
    "outages_with_room",
    "bad_exits",
    "end_max_seconds",
    "ready_max_seconds",
    "writes_again_max_seconds",
    "published_again_max_seconds",
    "drain_max_seconds",
    "drain_events_per_second",
    "check_rate_share_after_outages",
    "events_after_restart",
    "all_checked_after_restart_seconds",
    "first_check_share_of_period_max",
    "connects_after_restart_by_even",
    "connects_after_restart_max_per_second",
];

/// Is there a figure of this name?
pub fn is_figure(name: &str) -> bool {
    FIGURES.iter().any(|figure| matches(figure, name))
}

fn matches(figure: &str, name: &str) -> bool {
    if let Some((before, choices, after)) = choice(figure) {
        let Some(rest) = name.strip_prefix(before) else { return false };
        return choices.split(',').any(|one| rest.strip_prefix(one).is_some_and(|rest| matches(after, rest)));
    }
    match figure.strip_suffix('*') {
        Some(before) => name.strip_prefix(before).is_some_and(|number| number.parse::<u16>().is_ok()),
        None => figure == name,
    }
}

/// What stands before the first choice, the choice itself, and what stands after it.
fn choice(figure: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = figure.split_once('{')?;
    let (choices, after) = rest.split_once('}')?;
    Some((before, choices, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_one_by_one_and_by_kind() {
        for name in [
            "lost",
            "detection_redis_p99_seconds",
            "heard_ws_max_seconds",
            "lag_p99_far_edge_seconds",
            "get_unexpected_503",
        ] {
            assert!(is_figure(name), "{name}");
        }
        for name in
            ["", "lots", "detection_redis", "lag_p99_{hub,spoke}_seconds", "get_unexpected_", "get_unexpected_often"]
        {
            assert!(!is_figure(name), "{name}");
        }
    }
}
