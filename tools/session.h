// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "command.h"

#include "base/error.h"
#include "machine/global_lock.h"
#include "machine/lvm_lock.h"
#include "machine/reconcile.h"
#include "machine/survey.h"
#include "ops/facts.h"
#include "ops/remove.h"
#include "plan/dm.h"
#include "plan/execute.h"
#include "world/block_device.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap::tool {

/// What nearly every verb starts with: root, and device-mapper.  Throws Error (Fault::cannot_start).
std::unique_ptr<Dm> start();

/// A verb that changes something: holds the lock all its life, so that what it read stays true, and gives Ctrl-C a
/// moment that is safe.  Begins by finishing or undoing what commands that died have left.
class Change {
public:
    /// Throws Error (Fault::cannot_start): no module, another interface, or a lock that cannot be had.
    /// `any_interface`: goes on with a module of another one.
    Change(const Arguments& arguments, bool any_interface);
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    Dm& dm() { return *dm_; }
    bool dry_run() const { return dry_run_; }
    /// What was found of dead commands; nothing in a dry run.
    const Reconciled& reconciled() const { return reconciled_; }
    /// Keeps LVM away from a logical volume's tables until the next call; to be called before they are read.
    void bar_lvm(const BlockDevice& block);
    /// What `spec` names once LVM is kept away from it.  Throws Error if it never stays one device.
    BlockDevice hold(const std::string& spec);
    /// Asks on a terminal; elsewhere throws Error that names --yes.  A dry run takes a yes for granted.
    bool confirm(const std::string& subject, const std::string& operation, const std::string& question) const;

    /// Makes a plan of what is there; again for some seconds as long as it fails for what may pass (Fault::in_use).
    Plan plan(const std::function<Plan(const Machine& machine)>& make);

    /// Carries out a plan, or prints it.  Throws the Error of a plan that was undone; of one that was not, prints the
    /// commands that are left, and throws Error (Fault::not_undone).
    Outcome carry_out(const Plan& plan);

private:
    void recover();
    bool bar_lvm(const DmInfo& live);

    bool dry_run_;
    bool yes_;
    std::optional<GlobalLock> lock_; // dm_ notes its cookies there
    std::unique_ptr<Dm> dm_;
    std::map<std::string, LvmLock> volumes_; // by volume group
    Reconciled reconciled_;
};

/// Whether both are one device under one name: a number alone is used again as soon as its device is gone.
bool same_device(const BlockDevice& a, const BlockDevice& b);

/// "These are left to run", and the commands.
std::string commands_text(const std::vector<std::string>& commands);

/// Does one thing to each object; a failure is printed and the others are still done.  The exit code of all.
int for_each_object(const Arguments& arguments, const std::function<void(const std::string& object)>& act);

/// Prints the error; the exit code that goes with it.
int exit_code_of(const Error& error);

/// The attached device that `spec` names; nullptr if it is not attached.  Throws Error if there is no such device, or it
/// cannot be told.
const OriginState* find_attached(const Machine& machine, const std::string& spec);
/// The same; throws Error if it is not attached.
const OriginState& require_attached(const Machine& machine, const std::string& spec, const char* operation);

/// The point that "NAME" or "DEVICE:NAME" names, on `device` if that is given.  Throws Error.
FoundPoint require_point(
    const Machine& machine, const std::string& object, const std::string* device, const char* operation);

/// Prints why devices could not be read; the exit code that goes with `code` then.
int name_unread(const Machine& machine, int code);

/// Throws Error (Fault::cannot_start) if the origin's module is of another interface, so that its points are unknown.
void require_our_interface(const OriginState& origin);

/// A uuid whose ID no device's name has yet.
Uuid draw_uuid(const Machine& machine);

/// True for "json", false for "basic" or nothing.  Throws Error (Fault::usage).
bool wants_json(const Arguments& arguments);

/// Writes a result to standard output; throws Error if it does not get there.
void print(const std::string& text);

} // namespace dmsnap::tool
