// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/reconcile.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace dmsnap {
namespace {

using Key = std::pair<DmName, std::string>;

Key key_of(const Repair& repair) { return {repair.device, repair.found}; }

class Reconciliation {
public:
    Reconciliation(Dm& dm, Host& host, const BarOthers& bar_others, const Progress& progress)
        : dm_(dm), host_(host), bar_others_(bar_others), progress_(progress)
    {
    }

    /// False once nothing is left that was not tried.
    bool go_through(const Recovery& recovery)
    {
        result_.in_the_way = recovery.in_the_way;
        bool tried = false;
        for (const Repair& repair : recovery.repairs)
            if (is_left(repair) && (!repair.swapped || bar_others_.done(*repair.swapped))) {
                tried = true;
                carry_out(repair);
            }
        // Nothing waits for what somebody else is busy with but that itself.
        return tried || bar_one(recovery);
    }

    Reconciled result() && { return std::move(result_); }

private:
    bool is_left(const Repair& repair) const { return failed_.count(key_of(repair)) == 0; }

    /// False if there is nothing left to wait for.
    bool bar_one(const Recovery& recovery)
    {
        for (const Repair& repair : recovery.repairs)
            if (is_left(repair))
                try {
                    bar_others_.act(*repair.swapped);
                    return true;
                } catch (const Error& error) {
                    fails(repair, error);
                }
        return false;
    }

    void carry_out(const Repair& repair)
    {
        Outcome outcome = execute(repair.plan, dm_, host_, progress_);
        std::move(outcome.remarks.begin(), outcome.remarks.end(), std::back_inserter(result_.remarks));
        if (outcome.done()) {
            result_.done.push_back(repair);
            return;
        }
        fails(repair, *outcome.error);
        std::move(outcome.left_to_do.begin(), outcome.left_to_do.end(), std::back_inserter(result_.left_to_do));
    }

    void fails(const Repair& repair, const Error& error)
    {
        failed_.insert(key_of(repair));
        result_.failed.push_back(error);
    }

    Dm& dm_;
    Host& host_;
    const BarOthers& bar_others_;
    const Progress& progress_;
    std::set<Key> failed_;
    Reconciled result_;
};

} // namespace

Reconciled reconcile(
    Dm& dm, Host& host, const std::function<Machine()>& look, const BarOthers& bar_others, const Progress& progress)
{
    // One repair makes way for another, three in a row at most; each volume group takes a look more, and so does what others
    // do meanwhile.
    constexpr int rounds = 32;
    Reconciliation reconciliation(dm, host, bar_others, progress);
    for (int round = 0; round < rounds; ++round)
        if (!reconciliation.go_through(plan_recover(look())))
            break;
    return std::move(reconciliation).result();
}

} // namespace dmsnap
