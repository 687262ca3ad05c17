// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"

#include "base/error.h"
#include "machine/global_lock.h"
#include "machine/lvm_lock.h"
#include "machine/reconcile.h"
#include "machine/survey.h"
#include "ops/attach.h"
#include "ops/facts.h"
#include "ops/find.h"
#include "plan/dm.h"
#include "plan/execute.h"
#include "world/block_device.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace dmsnap::tool {

/// What nearly every verb starts with: root, and device-mapper.  Throws Error (Fault::cannot_start).
std::unique_ptr<Dm> start();
/// Throws Error (Fault::cannot_start) unless the module is there and has our interface; `any_interface`: with another
/// one only warns.
void require_interface(Dm& dm, bool any_interface);

/// A verb that changes something: holds the lock all its life, so that what it read stays true, and gives Ctrl-C a
/// moment that is safe.  Begins by finishing or undoing what commands that died have left.
class Change {
public:
    struct Purpose {
        bool any_interface = false; ///< goes on with a module of another one
        bool recovery = false;      ///< waits for LVM rather than leave something to the next command
    };

    /// Throws Error (Fault::cannot_start): no module, another interface, or a lock that cannot be had.
    Change(const Arguments& arguments, const Purpose& purpose);
    explicit Change(const Arguments& arguments) : Change(arguments, Purpose()) {}
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    Dm& dm() { return *dm_; }
    bool dry_run() const { return dry_run_; }
    /// What was found of dead commands; nothing in a dry run.
    const Reconciled& reconciled() const { return reconciled_; }
    /// What each of `specs` names once LVM is kept away from their tables, which lasts until the next call.  Throws Error if
    /// one never stays one device.
    std::vector<BlockDevice> hold(const std::vector<std::string>& specs);
    BlockDevice hold(const std::string& spec) { return hold(std::vector{spec}).front(); }

    /// Makes a plan of what is there, and outwaits what may pass.
    Plan plan(const std::function<Plan(const Machine& machine)>& make);

    /// Carries out a plan, or prints it.  Throws the Error of a plan that was undone; of one that was not, prints the
    /// commands that are left, and throws Error (Fault::not_undone).
    Outcome carry_out(const Plan& plan);

private:
    void mend();
    bool is_barred(const DmInfo& live) const;
    void bar_lvm(const DmInfo& live, const LvmLock::Terms& terms);
    void bar_lvm(std::vector<BlockDevice> blocks);

    bool dry_run_;
    bool recovery_ = false;
    std::optional<GlobalLock> lock_; // dm_ notes its cookies there
    std::unique_ptr<Dm> dm_;
    LvmLock::Terms patience_;                // of mend()
    std::map<std::string, LvmLock> volumes_; // by volume group
    std::set<std::string> busy_;             // volume groups that were waited for in vain
    std::set<std::string> left_to_lvm_;      // of those, what the first mend() has not mended
    Reconciled reconciled_;
};

/// What `act` gives; again for some seconds as long as it fails for what may pass (Fault::in_use).
template <typename Act> auto outwait(Act act)
{
    using Clock = std::chrono::steady_clock;
    // As long as libdevmapper goes on trying to remove what somebody has open.
    const auto end = Clock::now() + std::chrono::seconds(5);
    for (;;) {
        try {
            return act();
        } catch (const Error& error) {
            if (error.fault() != Fault::in_use || Clock::now() >= end)
                throw;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

/// Whether the steps are only to be printed.
bool is_dry_run(const Arguments& arguments);

/// Asks on a terminal; elsewhere throws Error that names --yes.  A dry run takes a yes for granted.
bool confirm(
    const Arguments& arguments, const std::string& subject, const std::string& operation, const std::string& question);

/// The device as it is now, with what uses it, as attaching it by that method needs it.
Candidate read_live(Dm& dm, const BlockDevice& block, Via via);

/// Whether both are one device under one name: a number alone is used again as soon as its device is gone.
bool same_device(const BlockDevice& a, const BlockDevice& b);

/// "These are left to run", and the commands.
std::string commands_text(const std::vector<std::string>& commands);

/// Does one thing to each object; a failure is printed and the others are still done.  The exit code of all.
int for_each_object(const Arguments& arguments, const std::function<void(const std::string& object)>& act);

/// Prints the error; the exit code that goes with it.
int exit_code_of(const Error& error);

/// nullptr if the device is not attached.  Throws Error if that cannot be told.
const OriginState* find_attached(const Machine& machine, const BlockDevice& block);
/// Names every origin whose module has another interface than this tool, and which of them to upgrade.
void warn_of_other_interfaces(const Machine& machine);
/// What `spec` names, also if it is an attached device that was pulled.  Throws Error.
BlockDevice resolve_live(const Machine& machine, const std::string& spec);
/// The attached device that `spec` names.  Throws Error if there is no such device, or it is not attached.
const OriginState& require_attached(const Machine& machine, const std::string& spec, const char* operation);

/// The point, or all those of a set, that "NAME" or "DEVICE:NAME" names, on `device` if that is given.  Throws Error.
std::vector<FoundPoint> require_points(
    const Machine& machine, const std::string& object, const std::string* device, const char* operation);

/// Prints why devices could not be read; the exit code that goes with `code` then.
int name_unread(const Machine& machine, int code);

/// Throws Error (Fault::cannot_start) if the origin's module is of another interface, so that its points are unknown.
void require_our_interface(const OriginState& origin);

/// A uuid whose ID no device's name has yet.
Uuid draw_uuid(const Machine& machine);

/// Writes a result to standard output; throws Error if it does not get there.
void print(const std::string& text);

} // namespace dmsnap::tool
