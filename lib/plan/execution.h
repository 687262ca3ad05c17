// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/dm.h"
#include "plan/host.h"
#include "plan/step.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

// How single steps are done and undone.  Internal to lib/plan; execute() is the loop over them.
//
//   execute.cc   the loop, and the way back after a failure
//     perform.cc   each kind of step done, and the questions to the kernel that both sides ask
//     undo.cc      each kind undone, by us or by hand
namespace dmsnap {

/// What the steps so far found out, for the later ones.
struct Execution {
    Dm& dm;
    Host& host;
    std::vector<TakenPoint> taken = {};
    std::map<DmName, Table> loaded = {};          ///< ours in the inactive slot, as the kernel prints it
    std::map<Uuid, std::vector<Run>> inside = {}; ///< where in its origin a store lies that was laid there
    std::vector<std::string> remarks = {};
    std::set<DmName> swapping = {}; ///< devices that a resume or a swap of ours was asked for
};

// perform.cc

/// Does a step.  Throws Error; it may have done half of it then, which undo_step() knows how to take back.
void do_step(const Step& step, Execution& run);

/// Throws Error(ENXIO) if there is no such device.
DmInfo require_info(Dm& dm, const DmName& name, const char* operation);
/// The table with the numbers and points in it that only the steps so far have made known.
Table resolved(Table table, Execution& run);
/// It has a table and is not suspended.
bool runs(const std::optional<DmInfo>& info);
/// A raid reads the state of its legs when its table is loaded.  One that never ran may have been loaded long ago, before
/// the raid that ran then lost a leg: it reads them again.
void load_anew(const DmName& base, Execution& run);

/// A live device's bios go as they did, if the endpoint they went to does nothing to them.  Throws Error.
void lead_back(const DmName& base, const std::string& live, const DmName& endpoint, const Table& idle, Execution& run);

// undo.cc

/// Undoes a step, finished or failed half way: looks at what is there and is content if there is nothing to undo.
/// Throws Error.
void undo_step(const Step& step, Execution& run);
/// The commands that do by hand what undo_step() does.
std::vector<std::string> undo_by_hand(const Step& step, const Execution& run);

/// What a step swaps: the device, and the table it had.
struct Swap {
    const DmName& name;
    Table before;
};

/// Nothing of a step that swaps no table.
std::optional<Swap> swap_of(const Step& step, Execution& run);

/// Somebody else's table, where an undo would restore the one that was there before: it is left alone.
enum class Stranger {
    none,
    swapped, ///< his runs: nothing of ours is left to take out
    loaded,  ///< his waits beside ours, which must stay
};

Stranger find_stranger(const Swap& swap, Execution& run);

} // namespace dmsnap
