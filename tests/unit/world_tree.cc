// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world_tree.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

namespace fs = std::filesystem;

namespace dmsnap::test {

TemporaryDirectory::TemporaryDirectory()
{
    std::string name = (fs::temp_directory_path() / "dmsnap-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
        throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory()
{
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void write_file(const fs::path& path, const std::string& text)
{
    fs::create_directories(path.parent_path());
    std::ofstream file(path);
    file << text;
    if (!file.flush())
        throw std::system_error(EIO, std::generic_category(), path.string());
}

FakeMachine::FakeMachine()
{
    write_file(roots().proc / "self/mountinfo", "");
    write_file(roots().proc / "swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    fs::create_directories(roots().sys / "dev/block");
    fs::create_directories(roots().sys / "class/block");
    fs::create_directories(roots().dev);
}

Roots FakeMachine::roots() const
{
    return {directory_.path() / "sys", directory_.path() / "proc", directory_.path() / "dev"};
}

fs::path FakeMachine::sysfs(const std::string& device) const
{
    return fs::canonical(roots().sys / "class/block" / device);
}

void FakeMachine::set(const std::string& device, const std::string& file, const std::string& text)
{
    write_file(sysfs(device) / file, text + "\n");
}

void FakeMachine::link_device(const std::string& name, const std::string& number)
{
    const fs::path directory = sysfs(name);
    fs::create_directory_symlink(directory, roots().sys / "dev/block" / number);
    set(name, "dev", number);
    set(name, "size", "2048");
    set(name, "ro", "0");
}

void FakeMachine::add_device(const std::string& name, const std::string& number, const std::string& dm_name)
{
    const fs::path directory = roots().sys / "devices/block" / name;
    fs::create_directories(directory);
    fs::create_directory_symlink(directory, roots().sys / "class/block" / name);
    link_device(name, number);
    set(name, "queue/logical_block_size", "512");
    set(name, "queue/zoned", "none");
    if (!dm_name.empty()) {
        set(name, "dm/name", dm_name);
        set(name, "dm/uuid", "");
        set(name, "dm/suspended", "0");
    }
}

void FakeMachine::add_partition(const std::string& disk, const std::string& name, const std::string& number)
{
    const fs::path directory = sysfs(disk) / name;
    fs::create_directories(directory);
    fs::create_directory_symlink(directory, roots().sys / "class/block" / name);
    link_device(name, number);
    set(name, "partition", "1");
}

void FakeMachine::stack(const std::string& upper, const std::string& lower)
{
    fs::create_directories(sysfs(lower) / "holders");
    fs::create_directories(sysfs(upper) / "slaves");
    fs::create_directory_symlink(sysfs(upper), sysfs(lower) / "holders" / upper);
    fs::create_directory_symlink(sysfs(lower), sysfs(upper) / "slaves" / lower);
}

void FakeMachine::mount(
    const std::string& number, const std::string& target, const std::string& type, std::string source)
{
    if (const auto at = source.find("{dev}"); at != std::string::npos)
        source.replace(at, 5, roots().dev.string());
    std::ofstream file(roots().proc / "self/mountinfo", std::ios::app);
    file << "30 1 " << number << " / " << target << " rw,relatime shared:1 - " << type << ' ' << source << " rw\n";
}

void FakeMachine::mount_elsewhere(
    int pid, int name_space, const std::string& number, const std::string& target, const std::string& type)
{
    const fs::path process = roots().proc / std::to_string(pid);
    fs::create_directories(process / "ns");
    fs::create_symlink("mnt:[" + std::to_string(name_space) + "]", process / "ns/mnt");
    write_file(process / "mountinfo", "30 1 " + number + " / " + target + " rw,relatime - " + type + " source rw\n");
}

void FakeMachine::swap_on(const std::string& name)
{
    std::ofstream file(roots().proc / "swaps", std::ios::app);
    file << (roots().dev / name).string() << " partition\t1020\t0\t-2\n";
}

void FakeMachine::swap_to_file(const std::string& path)
{
    std::ofstream file(roots().proc / "swaps", std::ios::app);
    file << path << " file\t\t1020\t0\t-2\n";
}

void FakeMachine::open_by(int pid, const std::string& command, const std::string& name)
{
    const fs::path process = roots().proc / std::to_string(pid);
    write_file(process / "comm", command + "\n");
    fs::create_directories(process / "fd");
    fs::create_symlink(roots().dev / name, process / "fd/3");
}

} // namespace dmsnap::test
