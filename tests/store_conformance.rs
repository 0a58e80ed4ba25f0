//! One suite for the store contract, run on SQLite and on a real PostgreSQL.
#![cfg(test)]

mod conformance;
mod support;

/// Runs every case on every backend.
macro_rules! conformance {
    ($($module:ident: $($case:ident),+;)+) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::conformance::$module::$case(crate::conformance::Backend::sqlite().await).await;
                }
            )+)+
        }

        mod postgresql {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::conformance::$module::$case(crate::conformance::Backend::postgresql().await).await;
                }
            )+)+
        }
    };
}

conformance! {
    roll: a_new_store_is_empty, a_cluster_comes_back_as_it_was_stored, strange_texts_come_back_unharmed,
        only_registered_clusters_are_fetched_by_id, a_name_is_registered_once, of_two_at_once_one_gets_the_name,
        an_update_replaces_the_metadata_and_tells_of_it, a_stale_generation_is_refused,
        an_unknown_cluster_cannot_be_changed, a_deleted_cluster_leaves_only_its_events,
        a_deleted_name_can_be_taken_again, a_fleet_of_ten_thousand_loads;
    ledger: a_batch_is_stored_whole, the_same_batch_again_changes_nothing, an_empty_batch_is_fine,
        an_older_status_changes_nothing, what_concerns_a_deleted_cluster_is_skipped_but_for_its_events,
        an_impossible_batch_leaves_no_trace, a_rollup_is_replaced_by_its_next_version,
        the_sign_of_life_never_moves_back, the_last_sequence_is_known_for_all_who_are_registered,
        ten_thousand_statuses_go_in_one_flush;
    log: events_come_back_as_they_were_in_order, a_known_event_is_not_stored_again,
        a_known_event_moves_to_its_new_position, it_is_known_which_events_are_stored,
        events_are_filtered_by_cluster_and_type, events_of_some_clusters_and_of_removed_ones_are_read, the_cursor_never_moves_back,
        a_reader_that_follows_the_head_misses_nothing;
    keys: tokens_come_back_as_they_were_the_oldest_first, a_token_is_revoked_once_and_stays_in_the_list,
        tokens_that_ended_long_ago_are_forgotten;
    sessions: sessions_come_back_as_they_were_the_oldest_first, a_session_ends_once_or_when_it_is_over;
    webhooks: webhooks_come_back_as_they_were_with_their_cursors, a_name_is_taken_by_one_webhook,
        a_seal_is_replaced_only_where_it_is_still_the_old_one,
        a_dead_letter_and_its_cursor_are_stored_together_and_the_oldest_go, a_dead_letter_is_tried_again_or_removed;
    secrets: a_write_of_a_secret_is_begun_and_told_of_at_once, a_cluster_that_is_gone_has_no_mark;
    silences: silences_come_back_as_they_were_the_oldest_first, a_silence_is_ended_once_and_stays_in_the_list,
        silences_are_forgotten_by_their_ids;
    audit: rows_come_back_as_they_were_told_and_are_chained, an_empty_log_is_whole,
        a_change_and_what_tells_of_it_are_stored_together_or_not_at_all, many_writers_leave_no_gap,
        rows_are_filtered_and_paged, a_changed_row_is_named, a_changed_time_is_named, a_strange_hash_is_named,
        a_deleted_row_is_named, a_row_of_another_chain_is_named, rows_cut_off_the_end_are_missed,
        rows_cut_off_the_beginning_are_missed, an_anchor_moved_by_hand_is_noticed,
        a_removed_note_of_the_end_is_noticed, after_a_tampering_the_log_goes_on,
        what_the_janitor_leaves_is_verifiable, a_log_pruned_whole_keeps_its_place,
        a_walk_while_others_write_and_prune_finds_nothing;
    history: transitions_are_read_newest_first, rollups_are_read_oldest_first, gaps_concern_a_cluster_or_everybody,
        the_janitor_removes_what_is_old_in_small_batches, a_pruned_log_keeps_its_sequences_and_its_head;
    credentials: what_is_kept_comes_back_as_it_was, parts_are_replaced_and_removed_one_by_one,
        an_unregistered_cluster_keeps_nothing, a_change_of_the_cluster_takes_what_it_unbinds,
        a_row_that_was_moved_or_changed_does_not_open, another_key_opens_nothing,
        a_rotated_key_reseals_everything_and_a_running_process_follows, nothing_secret_stands_in_the_database;
    discoveries: what_was_found_comes_back_with_the_cluster, an_attempt_that_found_nothing_leaves_what_was_known,
        a_cluster_that_is_gone_is_not_written, a_deleted_cluster_takes_its_attempts_along;
    opening: opening_again_finds_everything, a_closed_store_says_that_it_is_unavailable,
        a_database_newer_than_the_binary_is_refused, several_may_open_a_new_database_at_once,
        nobody_else_may_read_an_embedded_database, no_password_is_displayed;
}

/// The contract of credential stores, kept in Secrets of a real kube-apiserver.
mod kubernetes {
    macro_rules! kept_in_secrets {
        ($($case:ident),+) => {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let Some(backend) = crate::conformance::Backend::kubernetes().await else { return };
                    crate::conformance::credentials::$case(backend).await;
                }
            )+
        };
    }

    kept_in_secrets!(
        what_is_kept_comes_back_as_it_was,
        parts_are_replaced_and_removed_one_by_one,
        an_unregistered_cluster_keeps_nothing,
        a_change_of_the_cluster_takes_what_it_unbinds
    );
}
