// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "random.h"

#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace dmsnap::test::kernel {
namespace {

std::uint64_t draw_seed()
{
    const char* given = std::getenv("DMSNAP_TEST_SEED");
    const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device()();
    std::cerr << "DMSNAP_TEST_SEED=" << seed << std::endl;
    return seed;
}

// splitmix64: short, and the same on every machine and library.
std::uint64_t mix(std::uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

} // namespace

Random::Random(std::uint64_t round)
{
    static const std::uint64_t seed = draw_seed();
    state_ = mix(seed) ^ mix(round + 1);
}

std::uint64_t Random::next() { return mix(state_ += 0x9e3779b97f4a7c15); }

} // namespace dmsnap::test::kernel
