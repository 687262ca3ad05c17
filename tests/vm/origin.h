// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What a test works on: device-mapper devices, filesystems and images, each gone with its object.
#pragma once

#include "base/units.h"
#include "command.h"
#include "disk.h"
#include "table/status.h"

#include <memory>
#include <string>
#include <vector>

namespace dmsnap::test {

/// A device-mapper device made with dmsetup.
class DmDevice {
public:
    DmDevice(std::string name, const std::string& table);
    ~DmDevice();
    DmDevice(const DmDevice&) = delete;
    DmDevice& operator=(const DmDevice&) = delete;

    const std::string& name() const { return name_; }
    std::string path() const { return "/dev/mapper/" + name_; }
    /// As an administrator would: suspend, load, resume; what is pending is not waited for.
    void replace_table(const std::string& table) const;

private:
    std::string name_;
};

/// A live device to attach to. It is detached, its snapshots dropped, before it goes.
class Origin {
public:
    virtual ~Origin() = default;

    /// As a user names it to dmsnap.
    virtual std::string device() const = 0;
    /// The options that say by which method it is to be attached; none where dmsnap is to choose.
    virtual Arguments method() const { return {}; }
    /// Of the device whose table is "interpose", once it is attached.
    virtual std::string dm_name() const = 0;
    virtual std::string path() const = 0;
    /// As links to its images end.
    virtual std::string link_name() const { return dm_name(); }

    /// The words of a verb that attaches it if need be.
    Arguments attaching(const Arguments& verb) const;
    Bytes size() const;
    /// What the module says of it; throws unless it is attached.
    InterposeStatus::Details status() const;
    std::string generation() const;
    std::uint32_t event_number() const;
    std::string image(const std::string& point) const { return "/dev/dmsnap/" + point + "/" + link_name(); }
};

/// Of the devices there are: the one of this name if it is attached by its table, else the top device of the one
/// that is attached by the hook; throws if there is neither.
std::string attached_device(const std::string& dm_name);

/// dm-linear over so many segments of equal length, which lie on the disk apart and out of order.
std::unique_ptr<Origin> linear_origin(
    const std::string& disk, Bytes size, unsigned segments, const std::string& name = "test-origin");
/// dm-linear over all of the disk.
std::unique_ptr<Origin> whole_disk_origin(const std::string& disk);
/// An LV of one segment in a VG "test" on the disk, to be attached by its table.
std::unique_ptr<Origin> lvm_origin(const std::string& disk, Bytes size);

/// A new filesystem on a device, mounted at directory().
class Filesystem {
public:
    Filesystem(const std::string& device, std::string type);
    ~Filesystem();
    Filesystem(const Filesystem&) = delete;
    Filesystem& operator=(const Filesystem&) = delete;

    const std::string& type() const { return type_; }
    const std::string& directory() const { return directory_; }
    void unmount();

private:
    std::string type_;
    std::string directory_;
};

/// Holds a filesystem still while it lives.
class Frozen {
public:
    explicit Frozen(const Filesystem& filesystem);
    ~Frozen();
    Frozen(const Frozen&) = delete;
    Frozen& operator=(const Frozen&) = delete;

private:
    std::string directory_;
};

/// A filesystem in an image, mounted read-only at directory().
class MountedImage {
public:
    MountedImage(const std::string& image, const std::string& type);
    ~MountedImage();
    MountedImage(const MountedImage&) = delete;
    MountedImage& operator=(const MountedImage&) = delete;

    const std::string& directory() const { return directory_; }

private:
    std::string directory_;
};

/// Throws with what the checker found unless the unmounted filesystem is without fault.
void check_filesystem(const std::string& device, const std::string& type);

/// The same for a filesystem that was copied while frozen. XFS has its counters in the log then, which its checker
/// does not read: the copy is mounted once to replay it, so that this is the last thing to do with a copy.
void check_frozen_copy(const Place& copy, Bytes length, const std::string& type);

} // namespace dmsnap::test
