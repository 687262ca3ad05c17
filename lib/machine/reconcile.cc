// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/reconcile.h"

#include <set>
#include <utility>

namespace dmsnap {
namespace {

using Key = std::pair<DmName, std::string>;

Key key_of(const Repair& repair) { return {repair.device, repair.found}; }

/// Whether every device that is to be touched was barred before it was read.
bool all_barred(const Recovery& recovery, const std::set<Key>& failed, const BarOthers& bar_others)
{
    bool all = true;
    for (const Repair& repair : recovery.repairs)
        if (repair.swapped && failed.count(key_of(repair)) == 0 && bar_others(*repair.swapped))
            all = false;
    return all;
}

} // namespace

Reconciled reconcile(
    Dm& dm, Host& host, const std::function<Machine()>& look, const BarOthers& bar_others, const Progress& progress)
{
    // One repair makes way for another: three in a row at most, and a few looks for what others do meanwhile.
    constexpr int rounds = 16;
    Reconciled result;
    std::set<Key> failed;
    for (int round = 0; round < rounds; ++round) {
        const Recovery recovery = plan_recover(look());
        result.in_the_way = recovery.in_the_way;
        if (!all_barred(recovery, failed, bar_others))
            continue;
        bool tried = false;
        for (const Repair& repair : recovery.repairs) {
            if (failed.count(key_of(repair)) != 0)
                continue;
            tried = true;
            Outcome outcome = execute(repair.plan, dm, host, progress);
            if (outcome.done()) {
                result.done.push_back(repair);
                continue;
            }
            failed.insert(key_of(repair));
            result.failed.push_back(*outcome.error);
            for (std::string& command : outcome.left_to_do)
                result.left_to_do.push_back(std::move(command));
        }
        if (!tried)
            break;
    }
    return result;
}

} // namespace dmsnap
