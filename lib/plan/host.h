// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/names.h"
#include "base/units.h"
#include "base/uuid.h"
#include "table/messages.h"

#include <chrono>
#include <string>
#include <vector>

namespace dmsnap {

/// A store's header to be written to a device.
struct StoreFormat {
    DeviceRef device; ///< by number, where it is handed to a Host
    std::string path; ///< how to open it
    Uuid store;
    Sectors length;     ///< with the header
    Sectors granule;    ///< unit of allocation
    bool blank = false; ///< nothing that somebody else put there is on it
    bool operator==(const StoreFormat&) const = default;
};

/// A device whose two ends shall say nothing.
struct Blank {
    DeviceNumber device;
    std::string path;       ///< how to open it
    bool exclusive = false; ///< nobody may have claimed it
    Sectors length = {};    ///< of the part of it that has the ends; 0: all of it
    Sectors end = {};       ///< of either end; 0: as much as anybody looks at
    bool operator==(const Blank&) const = default;
};

/// Why something cannot be, as a sentence, and what to do about it.
struct Obstacle {
    std::string reason;
    std::string next_step;
};

/// What a plan needs of the machine besides device-mapper.  All of it throws Error.
class Host {
public:
    virtual ~Host() = default;

    virtual void format_store(const StoreFormat& store) = 0;
    /// Fills both ends of a device with zeros, where whoever looks finds out what it holds.
    virtual void blank_ends(const Blank& blank) = 0;
    /// Erases what libblkid finds on a device.
    virtual void erase_signatures(const std::string& path) = 0;
    /// syncfs() on each; mount points that have gone meanwhile are left out.
    virtual void sync_filesystems(const std::vector<std::string>& mount_points) = 0;
    /// Why the kernel's function tracing cannot be had.
    virtual Obstacle tracing_obstacle() = 0;
    /// A file for a store, of at least that length, in the filesystem on a device: world/store_file.h.
    virtual void make_store_file(
        const std::string& path, Sectors length, DeviceNumber device, std::chrono::milliseconds deadline) = 0;
    /// Where on its device its blocks are, in the order of the file.
    virtual std::vector<Run> store_file_extents(const std::string& path) = 0;
    /// No error if it is not there.
    virtual void remove_store_file(const std::string& path, DeviceNumber device) = 0;
    /// A symbolic link to a device-mapper device, with the folders above it.
    virtual void make_link(const std::string& path, const DmName& device) = 0;
    /// No error if it is not there; the folder goes with its last link.
    virtual void remove_link(const std::string& path) = 0;
};

} // namespace dmsnap
