// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What is there, as far as operations must know it.  machine/survey.h reads it; nothing here asks anybody.
#pragma once

#include "base/error.h"
#include "plan/dm.h"
#include "table/messages.h"
#include "table/status.h"
#include "table/table.h"
#include "world/block_device.h"
#include "world/store_file.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// A device-mapper device, whoever made it.
struct DeviceState {
    DmInfo info;
    Table table;               ///< live
    Table inactive;            ///< loaded beside it
    std::string health;        ///< raid_health() of all lines of the live table
    std::string loaded_health; ///< and of the one beside it

    const DmName& name() const { return info.name; }
};

/// An active interpose-image.
struct ImageState {
    DmInfo info;
    Table table;
    InterposeImage line;
    std::string users;           ///< who has it open: "mounted on /mnt"; empty if nobody has
    bool in_lasting_use = false; ///< by more than a process, which may only be looking, as udev's do

    NewDevice as_created() const { return {info.name, info.uuid, table, Visibility::image, true}; }
};

/// A private device that carries the table an origin had before, or leads to its live device past the hook.
struct BaseState {
    DmInfo info;
    Table table;        ///< that runs, or is loaded and never ran
    std::string health; ///< raid_health() of all its lines

    bool leads_to_live() const
    {
        return table.size() == 1 && std::holds_alternative<InterposeBase>(table.front().target);
    }
    NewDevice as_created() const { return {info.name, info.uuid, table, Visibility::private_device, false}; }
};

/// An active interpose-store.
struct StoreState {
    DmInfo info;
    Table table;
    InterposeStore line;
    StoreStatus status;
    std::string device;           ///< what the device below is called, or the path of the file
    std::set<DeviceNumber> below; ///< that device, and what it lies on at any depth
    Table file = {};              ///< of its blocks, if it is a file of the filesystem on its own origin; else empty
    std::string path = {};    ///< of that file; empty if it is not to be found, as when its filesystem was unmounted
    DeviceNumber holder = {}; ///< the device that its filesystem lies on

    NewDevice as_created() const { return {info.name, info.uuid, table, Visibility::private_device, false}; }
};

/// A device whose table is `interpose`: the live device itself, or the top of one that is seen by the hook.  Or, in
/// Machine::gone, what is left of one whose table somebody has swapped.
struct OriginState {
    DmInfo info;
    Table table;
    Table inactive;            ///< loaded beside it
    std::string loaded_health; ///< raid_health() of all its lines
    Interpose line;
    InterposeStatus status;
    std::vector<Point> points; ///< oldest first; none if the module has another interface; if lost, those with images
    std::vector<ImageState> images;
    std::optional<BaseState> base;
    std::optional<BlockDevice> live = {}; ///< the device that the hook sees; nothing: it is the device itself

    /// Of the device that takes messages.
    const DmName& name() const { return info.name; }
    /// Of the live device, as its users call it.
    DmName device() const { return live ? DmName(live->name()) : info.name; }
    DeviceNumber number() const { return live ? live->number : info.number; }
    /// Whether the live device is gone, for all that sysfs says.
    bool pulled() const { return live && live->size.count == 0; }
    /// Whether the live device has become shorter than what is watched of it.
    bool shrunk() const { return live && !pulled() && live->size < length(table); }
    bool resized() const { return shrunk() || new_space(); }
    /// What a live device that has grown has more than is watched of it: it counts as changed since every point.
    std::optional<Run> new_space() const;
    /// Whether the live device's bios come by the hook; one that has lost it, or has none yet, notes nothing.
    bool hooked() const { return status.details && status.details->hooked; }
    NewDevice as_created() const { return {info.name, info.uuid, table, Visibility::private_device, false}; }
    /// Nothing if there is no point of that name.
    const Point* find(const PointName& name_of_point) const;
    const ImageState* image_of(const Point& point) const;
    PointId id_of(const Point& point) const { return {status.generation, point.id}; }
    /// Its table is still there, and its generation has ended: it takes no message.
    bool lost() const { return status.state == INTERPOSE_STATE_LOST; }
    std::optional<Uuid> store() const { return status.details ? status.details->store : std::nullopt; }
};

/// What a live device's bios are led to: a device whose table is anything that stands on the base.
struct EndpointState {
    DmInfo info;
    Table table;
    Table inactive;     ///< loaded beside it
    std::string status; ///< of its targets, as the kernel tells it
    Uuid redirect;
    std::optional<BaseState> base;
    std::optional<BlockDevice> live;
    bool takes_bios = false;              ///< of the live device
    std::optional<DeviceState> leg = {};  ///< of a mirror: the device that stands for its target
    std::optional<DeviceState> meta = {}; ///< of a mirror: where it writes about itself
    std::string target = {};              ///< the path of what the leg stands for; empty if it is gone
    Sectors target_size = {};

    const DmName& name() const { return info.name; }
    /// Of the live device, as its users call it.
    DmName device() const { return live ? DmName(live->name()) : info.name; }
    NewDevice as_created() const { return {info.name, info.uuid, table, Visibility::private_device, false}; }
};

/// All that dmsnap has on this machine.
struct Machine {
    std::vector<OriginState> origins;
    std::vector<EndpointState> endpoints;
    std::vector<OriginState> gone; ///< known by their images alone, which are invalid
    std::vector<StoreState> stores;
    std::vector<DeviceState> devices; ///< every device-mapper device that could be read
    std::vector<DmName> names;        ///< of every device-mapper device
    std::vector<Error> unread;     ///< why others could not be read, or not all of it; the subject is the device's name
    std::set<Uuid> unread_origins; ///< attached, but on devices of which not all could be read
    std::vector<StoreFile> files;  ///< of stores, in mounted filesystems, in use or not; only if they were looked for
    bool udev = true;              ///< makes links; otherwise the plan does
    std::set<std::string> links;   ///< to images, whoever made them

    /// By the number of the live device.
    const OriginState* find(DeviceNumber number) const;
    /// By the number of the live device.
    const EndpointState* find_endpoint(DeviceNumber number) const;
    /// With what the tables in the place of any of these lead to, of which nothing but the tables tells.
    std::set<DeviceNumber> through_endpoints(std::set<DeviceNumber> below) const;
    /// Nothing if that origin is not in any live table.
    const OriginState* find_origin(const Uuid& origin) const;
    /// Why a device, or what it is to dmsnap, could not be read; nullptr if it could be.
    const Error* why_unread(const DmName& name) const;
    /// By its device-mapper uuid.
    const DeviceState* find_device(std::string_view uuid) const;
    const DeviceState* find_device(DeviceNumber number) const;
    const StoreState* find_store(const Uuid& store) const;
    /// The active store on a device.
    const StoreState* find_store_on(DeviceNumber device) const;
    bool has_name(const DmName& name) const;
    /// Whether its generation has ended: it is one of `gone`, or lost.
    bool has_ended(const OriginState& origin) const { return origin.lost() || is_gone(origin); }
    /// Whether images are left of an origin that is in no table any more; it may be in one again.
    bool is_gone(const Uuid& origin) const;
    /// Whether it is one of `gone`.
    bool is_gone(const OriginState& origin) const;
    /// Origins that keep their old data there.
    std::size_t users_of(const Uuid& store) const;
    /// The machine as it is once that origin, its private devices and its images are gone.
    Machine without(const OriginState& origin) const;
};

/// The filesystems that a consistent point of a device needs frozen.
struct FreezeFacts {
    std::vector<DeviceNumber> devices;     ///< top first
    std::vector<std::string> mount_points; ///< of all these
    std::vector<std::string> suspended;    ///< devices they write to that are: writing them out would wait
    std::set<DeviceNumber> doubtful = {};  ///< those that the kernel may not reach by their device: btrfs
};

/// A device as it is now, attached or not.
struct Candidate {
    BlockDevice block;
    std::optional<DmInfo> info; ///< of a device-mapper device
    Table table;
    std::string health;           ///< raid_health() of all its lines
    std::set<DeviceNumber> below; ///< what it lies on, at any depth
    FreezeFacts freeze;
    bool swap = false;            ///< the kernel swaps to it, or to what lies on it
    bool multipath = false;       ///< it is one path of several to a device
    std::string write_limit = {}; ///< the control group that holds writes to it back; empty if none does
    bool physical_volume = false; ///< of LVM's, or one of its partitions is
    bool uncounted = false;       ///< nobody knows how many writes it has under way
};

} // namespace dmsnap
