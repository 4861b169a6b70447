// The exports of ioredis that greymx uses. No other file imports ioredis, so that it is loaded in one way.

import type { Cluster as ClusterClient, Redis as SingleClient } from 'ioredis'
import { require } from '../../require.ts'

export type { RedisOptions } from 'ioredis'
export const { AbstractConnector, Cluster, Redis } = require('ioredis') as typeof import('ioredis')
export type Cluster = ClusterClient
export type Redis = SingleClient
