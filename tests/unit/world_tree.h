// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "world/roots.h"

#include <filesystem>
#include <string>

namespace dmsnap::test {

/// An empty directory that goes with its contents.
class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// A machine made of plain files: sysfs, proc and an empty /dev, so that devices are known by their names alone.
class FakeMachine {
public:
    FakeMachine();

    Roots roots() const;
    /// A disk or a virtual device of 2048 sectors; "254:0" and a DM name make it a device-mapper device.
    void add_device(const std::string& name, const std::string& number, const std::string& dm_name = {});
    void add_partition(const std::string& disk, const std::string& name, const std::string& number);
    /// `upper` holds `lower`, both ways round in sysfs.
    void stack(const std::string& upper, const std::string& lower);
    /// A line of /proc/self/mountinfo; `source` as the kernel prints it, `{dev}` standing for /dev.
    void mount(const std::string& number, const std::string& target, const std::string& type, std::string source);
    /// The same as the process `pid` sees it, whose mount namespace has that number.
    void mount_elsewhere(
        int pid, int name_space, const std::string& number, const std::string& target, const std::string& type);
    void swap_on(const std::string& name);
    /// A path as the kernel prints it.
    void swap_to_file(const std::string& path);
    void open_by(int pid, const std::string& command, const std::string& name);
    /// Writes a file of a device's directory in sysfs, such as "ro".
    void set(const std::string& device, const std::string& file, const std::string& text);
    std::filesystem::path sysfs(const std::string& device) const;

private:
    void link_device(const std::string& name, const std::string& number);

    TemporaryDirectory directory_;
};

/// Replaces a file, making the directories above it.
void write_file(const std::filesystem::path& path, const std::string& text);

} // namespace dmsnap::test
