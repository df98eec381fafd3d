# SPDX-License-Identifier: Apache-2.0
# A Sinatra application, for thin.
require 'sinatra/base'

class Prices < Sinatra::Base
  get('/') { 'ok' }
end

run Prices
