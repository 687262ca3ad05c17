// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "plan/dm.h"
#include "plan/host.h"

#include <string>
#include <variant>
#include <vector>

namespace dmsnap {

// A step says what is to be done and carries what its undo needs.  The undo of each stands in undo.cc.

/// Writes a store's header.  Not undone: a store without exceptions is as good as an empty device.
struct FormatStore {
    StoreFormat store;
    bool operator==(const FormatStore&) const = default;
};

/// A file whose blocks will be a store.  Undo: remove it.
struct MakeStoreFile {
    std::string path;
    Sectors length;
    DeviceNumber device;                ///< that its filesystem lies on
    std::chrono::milliseconds deadline; ///< for the filesystem to do it
    bool operator==(const MakeStoreFile&) const = default;
};

/// No way back: its blocks may be somebody else's from then on.
struct RemoveStoreFile {
    std::string path;
    DeviceNumber device;   ///< that its filesystem lies on
    bool may_fail = false; ///< the plan goes on, with a remark
    bool operator==(const RemoveStoreFile&) const = default;
};

/// A device of whole chunks of such a file, on the base of the origin whose filesystem has it.  Undo: remove.
struct LayStoreFile {
    DmName name;
    std::string uuid;
    Uuid store;
    std::string path;
    DeviceRef base;
    Sectors base_start;
    Sectors chunk; ///< of the origin
    Sectors length;
    Sectors origin_length;
    DmName live;  ///< whose table tells that the base is where it is taken to be
    Table before; ///< that table; empty: there is none to tell
    bool operator==(const LayStoreFile&) const = default;
};

/// Not undone: what was there was to be lost.
struct BlankEnds {
    Blank blank;
    bool may_fail = false; ///< the plan goes on, with a remark
    bool operator==(const BlankEnds&) const = default;
};

/// Not undone, and comes last.
struct EraseSignatures {
    std::string path;
    bool operator==(const EraseSignatures&) const = default;
};

/// Creates, loads and resumes.  Undo: remove.
struct Create {
    NewDevice device;
    bool operator==(const Create&) const = default;
};

/// Creates and loads, without running it.  Undo: remove.
struct Prepare {
    NewDevice device;
    bool operator==(const Prepare&) const = default;
};

/// Loads a table next to the live one.  Undo: clear.
struct Load {
    DmName name;
    Table table;
    bool operator==(const Load&) const = default;
};

/// Empties the inactive slot.  Undo: load it again.
struct Clear {
    DmName name;
    Table table; ///< what is loaded
    bool operator==(const Clear&) const = default;
};

/// Swaps in what is loaded.  Undo: back to `before`.
struct Resume {
    DmName name;
    Table before;                                      ///< the table that is live until now
    bool final = false;                                ///< there is no way back once it succeeded
    Visibility visibility = Visibility::public_device; ///< private: of an endpoint
    bool operator==(const Resume&) const = default;
};

/// Resume where the old table must not run together with the base.  Undo: back to `before`.
struct SwapSuspended {
    SuspendedSwap swap;
    bool final = false; ///< there is no way back once it succeeded
    Table found = {};   ///< what a dead plan has loaded; empty: this one does
    bool operator==(const SwapSuspended&) const = default;
};

/// Swaps tables of private devices at a quiet moment; what fails takes itself back.  No way back once the device itself has
/// another table.
struct SwapQuiet {
    QuietSwap swap;
    Table before; ///< of the device
    bool operator==(const SwapQuiet&) const = default;
};

/// Resumes, with the table it has or the one that was loaded for it, what a dead plan of ours left suspended.  Not
/// undone: its writers have waited enough.
struct WakeUp {
    DmName name;
    Visibility visibility;
    Table loaded = {};                      ///< beside it; empty if there is none
    std::optional<SuspendedSwap> both = {}; ///< with a base that sleeps too: udev reads the device as soon as it runs
    bool operator==(const WakeUp&) const = default;
};

/// Undo: create it again, unless its table may be running elsewhere by now.
struct Remove {
    NewDevice device; ///< as it is now
    bool operator==(const Remove&) const = default;
};

/// Lets an origin see the bios of the live device below its base.  Undo: unhook.
struct Hook {
    DmName name;
    std::string live; ///< what users call it
    HookMessage message;
    std::string write_limit = {}; ///< the control group that holds its writes back; empty if none does
    bool operator==(const Hook&) const = default;
};

/// No way back: its points end.
struct Unhook {
    DmName name;
    std::string live;
    UnhookMessage message;
    bool operator==(const Unhook&) const = default;
};

/// Leads a live device's bios to an endpoint.  Undo: they go as they did.
struct Redirect {
    DmName name; ///< of the base
    std::string live;
    DmName endpoint;
    Table idle; ///< of the endpoint: maps the base one to one, and so it has to when they go as they did
    std::chrono::milliseconds deadline;
    std::vector<DeviceNumber> freeze; ///< top first
    bool operator==(const Redirect&) const = default;
};

/// They go as they did.  No way back.
struct Direct {
    DmName name;
    std::string live;
    DmName endpoint;
    Table idle; ///< as of Redirect
    bool operator==(const Direct&) const = default;
};

/// Keeps the old data of snapshots to come in a store.  Undo: the store before, or none.
struct UseStore {
    DmName name;
    Uuid store;
    std::optional<Uuid> before;
    std::optional<std::vector<Run>> before_inside = std::vector<Run>(); ///< as of LeaveStore
    bool operator==(const UseStore&) const = default;
};

/// Lets go of a store.  Undo: use it again, if it is known where it lies.
struct LeaveStore {
    DmName name;
    Uuid store;
    std::optional<std::vector<Run>> inside = std::vector<Run>(); ///< where in the origin it lies; nothing: not known
    bool operator==(const LeaveStore&) const = default;
};

struct SyncFilesystems {
    std::vector<std::string> mount_points;
    bool operator==(const SyncFilesystems&) const = default;
};

/// Undo: drop the points taken.  Later lines may name an origin's point "@taken".
struct Take {
    std::vector<DmName> names;        ///< of the devices that take messages, as the message's members
    std::vector<std::string> devices; ///< what users call them
    TakeMessage message;
    std::vector<std::string> write_limits = {}; ///< as of a Hook, one a device
    bool operator==(const Take&) const = default;
};

/// What Take was answered for one of its members.
struct TakenPoint {
    Uuid origin;
    TakeAnswer answer;
    bool operator==(const TakenPoint&) const = default;
};

/// No way back.
struct Drop {
    DmName name;
    DropMessage message;
    bool operator==(const Drop&) const = default;
};

/// No way back.
struct Release {
    DmName name;
    ReleaseMessage message;
    bool operator==(const Release&) const = default;
};

/// Undo: change them back.
struct ChangePoint {
    std::vector<DmName> names; ///< of the devices that take messages, one for each point
    ChangeMessage message;
    std::vector<ChangeMessage> before; ///< of each point by itself: the same fields, as they are now
    bool operator==(const ChangePoint&) const = default;
};

/// Undo: the name it had.
struct RenameImage {
    DmName name;
    DmName to;
    std::string uuid; ///< of the image: the name may be another device's
    bool operator==(const RenameImage&) const = default;
};

/// Undo: remove it.
struct MakeLink {
    std::string path;
    DmName device;
    bool operator==(const MakeLink&) const = default;
};

/// Undo: make it again.
struct RemoveLink {
    std::string path;
    DmName device;
    bool operator==(const RemoveLink&) const = default;
};

using Step = std::variant<FormatStore, MakeStoreFile, RemoveStoreFile, LayStoreFile, BlankEnds, EraseSignatures, Create,
    Prepare, Load, Clear, Resume, SwapSuspended, SwapQuiet, WakeUp, Remove, Hook, Unhook, Redirect, Direct, UseStore,
    LeaveStore, SyncFilesystems, Take, Drop, Release, ChangePoint, RenameImage, MakeLink, RemoveLink>;
using Plan = std::vector<Step>;

/// Adds steps to the end of a plan.
void append(Plan& plan, Plan more);
/// The same plan with the removal of files at its end, where nothing is left to fail that would be undone.
Plan with_files_last(Plan plan);

/// One line a step, with its end.
std::string to_text(const Step& step);
std::string to_text(const Plan& plan);
/// The shell command that does the same by hand, without its end.
std::string by_hand(const Step& step);

} // namespace dmsnap
