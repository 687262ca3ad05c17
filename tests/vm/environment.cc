// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "environment.h"

#include "base/text.h"

#include <cstdlib>
#include <fmt/format.h>
#include <iostream>
#include <random>
#include <stdexcept>

namespace dmsnap::test {
namespace {

std::string variable(const std::string& name)
{
    const char* value = std::getenv(name.c_str());
    if (value == nullptr)
        throw std::runtime_error(fmt::format("{} is not set: see tests/README.md", name));
    return value;
}

std::uint64_t number(const std::string& name)
{
    const auto value = parse_u64(variable(name));
    if (!value)
        throw std::runtime_error(fmt::format("{} is no number", name));
    return *value;
}

std::uint64_t draw_seed()
{
    if (std::getenv("DMSNAP_TEST_SEED") != nullptr)
        return number("DMSNAP_TEST_SEED");
    return std::random_device()();
}

} // namespace

std::string origin_disk() { return variable("DMSNAP_TEST_ORIGIN"); }
std::string store_disk() { return variable("DMSNAP_TEST_STORE"); }
std::string spare_disk() { return variable("DMSNAP_TEST_SPARE"); }
std::string disk_4k() { return variable("DMSNAP_TEST_4K"); }
std::string nvme_disk() { return variable("DMSNAP_TEST_NVME"); }
std::string kind() { return variable("DMSNAP_TEST_KIND"); }

std::uint64_t rounds(const std::string& name) { return number("ROUNDS_" + name); }

Random::Random() : seed_(draw_seed()), state_(seed_) { std::cout << "DMSNAP_TEST_SEED=" << seed_ << std::endl; }

// splitmix64: short, and the same on every machine and library.
std::uint64_t Random::next()
{
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

} // namespace dmsnap::test
